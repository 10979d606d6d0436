"""Numbers: which ones Plivo takes as caller IDs of the account."""

from dataclasses import asdict

from fastapi import APIRouter, Depends

from ringproof.phone.number import optional_region, parse
from ringproof.verified import CallerId
from worker.web.api.access import Here, Reader, expect_json
from worker.web.api.models import Number, NumberToLookUp
from worker.web.api.problems import problems
from worker.web.site import Site

router = APIRouter(tags=["numbers"])


@router.post("/numbers/lookup", dependencies=[Depends(expect_json)], responses=problems(400, 415, 422))
async def look_up(body: NumberToLookUp, site: Here, _caller: Reader) -> Number:
    """Say whether a number is verified, also while a newer request for it is under way."""
    return await site.threads(_look_up, site, body)


def _look_up(site: Site, body: NumberToLookUp) -> Number:
    number = parse(body.phone_number, optional_region(body.region) or site.settings.region).e164
    record = site.ledger.read(number)
    if record is None or not record.is_verified:
        return Number(phone_number=number, is_verified=False)
    return Number(is_verified=True, **asdict(CallerId.of(record)))
