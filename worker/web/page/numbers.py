"""One number's story: a person looks a number up, or opens a row of a batch. No address ever has a number in it."""

from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final

from starlette.responses import Response

from ringproof import errors
from ringproof.ledger.audit import note
from ringproof.ledger.record import Record
from ringproof.ledger.request_ids import IdentifiedRequest, identified, identify
from ringproof.phone.masking import LONGEST, mask
from ringproof.phone.number import parse
from ringproof.words import sentence
from worker.views.number import next_step_text
from worker.web.page.batches import number_of_row
from worker.web.page.guard import Refused, Visit
from worker.web.page.rendering import render

KEPT: Final = timedelta(minutes=15)
"""How long the address of a story works after it was used last."""


async def search(visit: Visit) -> Response:
    """Find the record of a number that a person has typed, or of a batch's row, and lead to its page."""
    written, form = visit.form.get("number", "")[: LONGEST + 1], visit.form
    if "row" in form:
        number = await visit.site.threads(number_of_row, visit.site.ledger, form.get("batch", ""), form["row"])
        if number is None:
            raise Refused(HTTPStatus.NOT_FOUND, "the number of this row was erased; nothing more is known about it")
    else:
        try:
            number = parse(written, visit.site.settings.region).e164
        except errors.InvalidNumber as error:
            return visit.page("search.html", HTTPStatus.UNPROCESSABLE_ENTITY, problem=sentence(error), masked="")
    story = await visit.site.threads(_named, visit, number)
    if story is None:
        return visit.page("search.html", HTTPStatus.NOT_FOUND, problem="", masked=mask(number))
    return visit.go_to(f"/page/numbers/{story}")


def _named(visit: Visit, number: str) -> str | None:
    """Return an opaque id for a number that has a record. It is of no use to anybody else, or in the API."""
    record = visit.site.ledger.read(number)
    if record is None:
        return None
    named = IdentifiedRequest(number, record.request, _owner(visit), is_own=False)
    return identify(visit.site.ledger, named, keep=KEPT)


async def show(visit: Visit) -> Response:
    """Answer with the story of a number, masked."""
    record = await visit.site.threads(_record, visit, visit.request.path_params["id"])
    return visit.page("number.html", id=visit.request.path_params["id"], **_facts(record, is_shown=False))


async def unmask(visit: Visit) -> Response:
    """Answer with the story of a number, with the number in full. The audit trail says who has seen it."""
    record = await visit.site.threads(_unmasked, visit, visit.request.path_params["id"])
    return visit.page("number.html", id=visit.request.path_params["id"], **_facts(record, is_shown=True))


async def parts(visit: Visit) -> dict[str, str]:
    """Return the part of the story that changes. It is masked: a page in full is as it was when it was asked for."""
    story = visit.request.query_params.get("id", "")
    record = await visit.site.threads(_record, visit, story)
    return {"number": render("parts/number.html", **visit.facts(id=story, **_facts(record, is_shown=False)))}


def _unmasked(visit: Visit, story: str) -> Record:
    record = _record(visit, story)
    note(visit.site.ledger, visit.actor, "unmask", mask(record.phone_number))
    return record


def _record(visit: Visit, story: str) -> Record:
    found = identified(visit.site.ledger, story, keep=KEPT)
    record = visit.site.ledger.read(found.number) if found and found.owner == _owner(visit) else None
    if record is None:
        raise Refused(
            HTTPStatus.NOT_FOUND, "this address has ended, or the number was erased; look the number up again"
        )
    return record


def _owner(visit: Visit) -> str:
    return f"page:{visit.credential.auth_id}"


def _facts(record: Record, *, is_shown: bool) -> dict[str, Any]:
    return {
        "record": record,
        "is_shown": is_shown,
        "written": record.phone_number if is_shown else mask(record.phone_number),
        "next_step": next_step_text(record),
    }
