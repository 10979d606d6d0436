"""A code that a person entered, on its way to Plivo, and what is known of it then.

It waits under a random handle, for a minute; the message carries the handle, and whoever takes the code takes it out.
"""

import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from pydantic import SecretStr

from ringproof.errors import InvalidNumber, InvalidRequest
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import Record, pieces
from ringproof.phone.caller_id import ALIAS_LENGTH, SUBACCOUNT
from ringproof.phone.number import parse, route

if TYPE_CHECKING:
    from ringproof.plivo.client import CallerId

KEPT: Final = timedelta(seconds=60)
"""How long a code waits to be taken: whoever entered it has given up by then, and entered it again."""

TRIES: Final = 5
"""How often one code can be entered, rightly or wrongly: of four digits, 1 in 2,000 is guessed."""

HANDLE: Final = re.compile(r"[A-Za-z0-9_-]{16,64}")
_CODE = re.compile(r"[0-9]{4,8}")


class Answer(StrEnum):
    """What becomes of a code that was entered, before Plivo is asked."""

    ASK = "ask"
    LOOK = "look"
    DONE = "done"
    NOTHING = "nothing"
    LOST = "lost"
    EXPIRED = "expired"
    TOO_MANY = "too_many"
    PAUSED = "paused"


class Asked(StrEnum):
    """What Plivo was asked: about codes, for all that it has, or whether it has a number that is known here."""

    CODE = "code"
    LIST = "list"
    NUMBER = "number"


class Verified(StrEnum):
    """What became of a record of which Plivo says that its number is verified."""

    VERIFIED = "verified"
    ALREADY = "already"
    STALE = "stale"
    RECORDED = "recorded"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Entered:
    """A code that was taken, once; `code` is empty unless Plivo is to be asked about it.

    `asked` is the handle of another for which Plivo was asked before and nobody told what came of it.
    """

    answer: Answer
    code: SecretStr
    tries_left: int
    asked: str
    record: Record | None


def check_code(code: object) -> SecretStr:
    """Return a code as it was entered: a text, for 0123 is not 123. Raises `InvalidRequest`, which does not show it."""
    if isinstance(code, str) and _CODE.fullmatch(code):
        return SecretStr(code)
    raise InvalidRequest("code", "(not shown)", "a string of 4 to 8 digits, with the zeros that it begins with")


def store_code(ledger: Ledger, code: SecretStr) -> str:
    """Leave a code to be taken within a minute; return its handle. Raises `LedgerUnavailable`."""
    handle = secrets.token_urlsafe(16)
    ledger.store(ledger.keys.code(handle), code.get_secret_value(), KEPT)
    return handle


def take_code(ledger: Ledger, number: str, handle: str) -> Entered:
    """Take a code out, count the try, and say whether Plivo is to be asked.

    The same handle again gets no code: LOOK tells that Plivo was asked, or may have been.
    """
    answer, code, tries_left, asked, flat = ledger.run_script(
        "number/take_code", [ledger.keys.record(number), ledger.keys.code(handle)], [handle, TRIES]
    )
    record = Record.read(number, dict(zip(flat[::2], flat[1::2], strict=True))) if flat else None
    return Entered(Answer(answer), SecretStr(code), max(0, int(tries_left)), asked, record)


def code_rejected(ledger: Ledger, number: str, handle: str, *, counted: bool = True) -> int:
    """Tell that Plivo did not take a code; return the tries left. It is not `counted` if Plivo was surely not asked."""
    left = ledger.run_script("number/reject_code", [ledger.keys.record(number)], [handle, TRIES, int(not counted)])
    return max(0, int(left))


def mark_verified(
    ledger: Ledger, found: Sequence["CallerId"], handle: str = "", *, asked: Asked = Asked.CODE
) -> list[Verified]:
    """Tell what Plivo says is verified, to whoever entered the code of that handle or, without one, in its list.

    Of all that Plivo has, numbers that are unknown here are recorded, and the others known to be verified still.
    """
    if not found:
        return []
    told = [_told(known) for known in found]
    keys = [ledger.keys.record(known.phone_number) for known in found]
    return [Verified(one) for one in ledger.run_script("number/mark_verified", keys, [json.dumps(told), handle, asked])]


def dated(known: "CallerId") -> datetime | None:
    """Return when Plivo last verified or changed it."""
    return max((date for date in (known.created_at, known.modified_at) if date), default=None)


def _told(known: "CallerId") -> dict[str, Any]:
    date = dated(known)
    alias = known.alias.encode("utf-8", "replace").decode()[:ALIAS_LENGTH]  # whatever others have put there
    channel, country = _own(known.phone_number)
    return {
        "number": known.phone_number,
        "uuid": known.verification_uuid,
        "dated": int(date.timestamp() * 1000) if date else 0,
        "channel": channel,
        "subaccount": known.subaccount if SUBACCOUNT.fullmatch(known.subaccount) else "",
        "country": known.country.upper() if re.fullmatch("[A-Za-z]{2}", known.country) else country,
        "alias": pieces("alias", alias),
    }


def _own(number: str) -> tuple[str, str]:
    """Return how a code would reach it, for Plivo's list does not say how one did, and its country."""
    try:
        known = parse(number)
        return route(known, "auto"), known.country
    except InvalidNumber:
        return "sms", ""
