"""Which numbers are verified: `from ringproof import is_verified, verified_numbers`.

A number is verified if Plivo takes it as a caller ID of the account. That is no proof about a user who types the
number: only the result of this user's own `confirm_verification` is one.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from ringproof import runtime
from ringproof.aio.event_loop import open_here
from ringproof.errors import InvalidRequest
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.numbers import all_records
from ringproof.ledger.record import Record
from ringproof.ledger.result_id import number_of
from ringproof.phone.caller_id import check_alias, check_subaccount, is_empty
from ringproof.phone.masking import mask, mask_value
from ringproof.phone.number import WrittenNumber, optional_region, parse

_TWO_LETTERS = re.compile("[A-Za-z]{2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class CallerId:
    """A verified number. Times are aware, in UTC; an absent field is None.

    CallerId(
        phone_number="+14155550123", country="US", alias="Front desk", subaccount=None, verified_at=…, checked_at=…,
        verification_uuid="24856289-…",
    )

    `checked_at` is when Plivo last said that it has the number; None if it was not asked since `verified_at`.
    """

    phone_number: str = field(repr=False)
    country: str | None
    alias: str | None = field(repr=False)
    subaccount: str | None
    verified_at: datetime | None
    checked_at: datetime | None
    verification_uuid: str | None

    @classmethod
    def of(cls, record: Record) -> Self:
        """Return the caller ID of a verified number's record."""
        return cls(
            record.phone_number,
            record.country,
            record.alias,
            record.subaccount,
            record.verified_at,
            record.checked_at,
            record.verified_uuid or record.verification_uuid,
        )

    def __str__(self) -> str:
        return mask(self.phone_number)


def is_verified(phone_number: WrittenNumber, region: str | None = None, account: str | None = None) -> bool:
    """Whether a number is verified, also while a newer request for it is under way or after one has failed.

        is_verified("+1 (415) 555-0123")  # True

    `region` is the country of a number without one. `account` is whose caller ID it is: None is the installation's own
    account. Raises `InvalidNumber`, `InvalidRequest`, `LedgerUnavailable` or `Misconfigured`.
    """
    record = runtime.ledger(account).read(_e164(phone_number, region, account))
    return record is not None and record.is_verified


async def ais_verified(phone_number: WrittenNumber, region: str | None = None, account: str | None = None) -> bool:
    """Say on asyncio what `is_verified` says: no thread, and no call that blocks the event loop."""
    number = _e164(phone_number, region, account)
    record = await (await open_here()).ledger(account).read(number)
    return record is not None and record.is_verified


def _e164(phone_number: WrittenNumber, region: str | None, account: str | None) -> str:
    """Return a number as E.164. The id of a request of this account may stand in its place."""
    home = optional_region(region) or runtime.region()
    written, _ = number_of(phone_number, account, home)
    return parse(written, home).e164


def verified_numbers(
    *,
    country: str | None = None,
    alias: str | None = None,
    subaccount: str | None = None,
    since: datetime | None = None,
    account: str | None = None,
) -> Iterator[CallerId]:
    """Yield all verified numbers, in no order: those with this country, alias and subaccount, verified `since` then.

    `account` is whose numbers they are: None is the installation's own account.

        for caller_id in verified_numbers(country="US"):
            print(caller_id.phone_number, caller_id.alias)

    Memory does not grow with their count. This reads all keys of Redis: some seconds for each hundred thousand numbers.
    No number is missed. In rare cases one comes twice. Raises `InvalidRequest` at the call, and `LedgerUnavailable`
    at any step; if Redis was restarted in the middle, start again.
    """
    fields = {
        "country": _check_country(country),
        "alias": check_alias(alias),
        "subaccount": check_subaccount(subaccount),
    }
    wanted = {name: value for name, value in fields.items() if value}
    return _matching(runtime.ledger(account), wanted, _check_since(since))


def _check_country(country: object) -> str | None:
    if is_empty(country):
        return None
    if isinstance(country, str) and _TWO_LETTERS.fullmatch(country.strip()):
        return country.strip().upper()
    raise InvalidRequest("country", mask_value(country), "a country's two letters, such as 'US'")


def _check_since(since: object) -> datetime | None:
    if since is None or (isinstance(since, datetime) and since.tzinfo is not None):
        return since
    raise InvalidRequest("since", mask_value(since), "a datetime with a time zone: datetime(2026, 5, 4, tzinfo=UTC)")


def _matching(ledger: Ledger, wanted: dict[str, str], since: datetime | None) -> Iterator[CallerId]:
    for record in all_records(ledger):
        is_late_enough = since is None or (record.verified_at is not None and record.verified_at >= since)
        if record.is_verified and is_late_enough and all(getattr(record, name) == wanted[name] for name in wanted):
            yield CallerId.of(record)
