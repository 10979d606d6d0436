"""A code that a user entered: its way to Plivo, and Plivo's answer.

The code waits under a random handle for a minute. The message carries the handle. The worker that takes the code
removes it from Redis.
"""

import json
import re
import secrets
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ringproof.clock import epoch_ms, moment
from ringproof.errors import InvalidNumber, InvalidRequest
from ringproof.ledger.durations import ms
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import Record, pieces
from ringproof.phone.caller_id import ALIAS_LENGTH, SUBACCOUNT
from ringproof.phone.number import channel_for, parse
from ringproof.secret_str import SecretStr

if TYPE_CHECKING:
    from ringproof.plivo.client import VerifiedNumber

CODE_WAITS: Final = timedelta(seconds=60)
"""How long a code waits for a worker. After that the user has to enter it again."""

NOT_SHOWN: Final = "(not shown)"
"""What an error shows in the place of a code."""

TRIES: Final = 5
"""How often one code can be entered, right or wrong. Wrong codes count over all codes of a number, too (`locks.py`)."""

HANDLE: Final = re.compile(r"[A-Za-z0-9_-]{16,64}")
_CODE = re.compile(r"[0-9]{4,8}")

LONGEST_PASTE: Final = 256
"""Characters of a code as it is pasted: 8 digits with many marks between them. It bounds the work."""

_DROPPED: Final = frozenset(
    "\u2212\u02d7\u2043\u30fc\uff70"  # dashes that Unicode does not call dashes
    "\ufffc\u034f\u115f\u1160\u3164\uffa0\u2800\ufe0e\ufe0f"  # invisible marks that it does not call format marks
)
_BACKWARDS: Final = "\u202e"


class NextStep(StrEnum):
    """What the worker does next with a code that it took."""

    ASK = "ask"  # ask Plivo whether the code is right
    LOOK = "look"  # a worker asked before, with the same handle: look up whether Plivo has the number as verified
    DONE = "done"  # this handle's code has verified the number
    LOCKED = "locked"  # too many wrong codes were entered for the number
    NOTHING = "nothing"  # the number has no code to confirm
    LOST = "lost"  # the code waited longer than a minute
    EXPIRED = "expired"  # the code that Plivo sent is too old
    TOO_MANY = "too_many"  # the code was entered five times
    ANOTHER = "another"  # the last code was sent for another request
    PAUSED = "paused"  # Plivo knows the credentials of no worker at present
    NEWER = "newer"  # a newer worker takes the code: this version cannot read the record
    ELSEWHERE = "elsewhere"  # another worker takes the code: Plivo does not know the credentials of this one


class Source(StrEnum):
    """What Plivo was asked when it reported numbers as verified."""

    CODE = "code"  # about codes: a record changes only if its last code was entered
    LIST = "list"  # for its whole list: a number that is unknown here gets a record
    NUMBER = "number"  # whether Plivo still has one number that is known here


class Marked(StrEnum):
    """What `mark_verified` did with one number."""

    VERIFIED = "verified"  # this call has verified it, or an earlier one with the same handle did
    ALREADY = "already"  # it was verified before, and not by this handle
    STALE = "stale"  # Plivo's entry proves neither the last code nor a verification that stands
    RECORDED = "recorded"  # it was unknown here and has a record now
    GONE = "gone"  # it has no record and gets none, or its record is damaged


@dataclass(frozen=True, slots=True)
class TakenCode:
    """The answer of `take_code`.

    `code` is empty unless `step` is ASK. `unanswered_handle` is the handle of an earlier entry: Plivo was asked,
    and its answer was lost. It is empty if there is none.
    """

    step: NextStep
    code: SecretStr
    tries_left: int
    unanswered_handle: str
    record: Record | None


class TriesLeft(NamedTuple):
    """How often a code may be entered yet, and until when the number is locked (None: it is not)."""

    tries: int
    locked_until: datetime | None


def check_code(code: object) -> SecretStr:
    """Return the code in a text that a person typed or pasted, or in a SecretStr. It is text: 0123 is not 123.

    Blanks, dashes and invisible marks are dropped, and digits of any script become 0 to 9. Anything else is refused,
    and so is an override that would make the digits read backwards. Raises `InvalidRequest`, which does not show the
    code.

    >>> check_code(" 04\N{EN DASH}82 ").get_secret_value()
    '0482'
    """
    code = veil(code)
    if found := _find_code(code):
        return found
    raise InvalidRequest("code", NOT_SHOWN, "a string of 4 to 8 digits, with the zeros that it begins with")


def is_code(text: str) -> bool:
    """Whether a text may be a code, as its user has typed it."""
    return _find_code(SecretStr(text)) is not None


def veil(code: object) -> object:
    """Return a text as a SecretStr, which crash reporters do not show; anything else as it is."""
    return SecretStr(code) if isinstance(code, str) else code


def _find_code(code: object) -> SecretStr | None:
    reveal = getattr(code, "get_secret_value", None)  # pydantic's SecretStr has it, too
    text = str(reveal()) if reveal else ""
    digits = "".join(map(_digit, text[: LONGEST_PASTE + 1]))
    return SecretStr(digits) if len(text) <= LONGEST_PASTE and _CODE.fullmatch(digits) else None


def _digit(sign: str) -> str:
    """Return 0 to 9 for a digit of any script, nothing for what a code may have between its digits, or else "?"."""
    if (digit := unicodedata.decimal(sign, -1)) >= 0:
        return str(digit)
    if sign.isspace() or sign in _DROPPED:
        return ""
    is_dropped = unicodedata.category(sign) in {"Cf", "Pd"} and sign != _BACKWARDS
    return "" if is_dropped else "?"


def store_code(ledger: Ledger, code: SecretStr) -> str:
    """Store a code for a minute and return its handle. Raises `LedgerUnavailable`."""
    handle, storing = storing_code(ledger, code)
    ledger.run(*storing)
    return handle


def storing_code(ledger: Ledger, code: SecretStr) -> tuple[str, tuple[Any, ...]]:
    """Return a handle, and the command that stores a code under it for a minute."""
    handle = secrets.token_urlsafe(16)
    return handle, ("set", ledger.keys.code(handle), code, None, ms(CODE_WAITS))


def take_code(ledger: Ledger, number: str, handle: str, request: int | None = None) -> TakenCode:
    """Take a code out of Redis, count the try and a wrong code, and return what to do with it.

    With `request`, only the code that was sent for this request is entered. A second call with the same handle gets no
    code. It returns LOOK, because the first call may have asked Plivo.
    """
    step, code, tries_left, unanswered_handle, flat = ledger.run_script(
        "number/take_code", [ledger.keys.record(number), ledger.keys.code(handle)], [handle, TRIES, request or ""]
    )
    record = ledger.record_of(number, flat)
    return TakenCode(NextStep(step), SecretStr(code), int(tries_left), unanswered_handle, record)


def end_try(ledger: Ledger, number: str, handle: str) -> TriesLeft:
    """End a try whose code Plivo has refused, and return the tries left."""
    return _end_try(ledger, number, handle, "", "")


def give_try_back(ledger: Ledger, number: str, handle: str, uuid: str, unanswered_handle: str = "") -> None:
    """End a try that does not count, because Plivo surely did not check its code. `uuid` is that code's verification.

    A second call changes nothing. With `unanswered_handle`, the next entry looks up again whether Plivo has taken the
    code of that earlier try.
    """
    _end_try(ledger, number, handle, uuid, unanswered_handle)


def _end_try(ledger: Ledger, number: str, handle: str, unchecked_uuid: str, unanswered_handle: str) -> TriesLeft:
    keys = [ledger.keys.record(number), ledger.keys.token(f"try:{handle}")]
    tries, locked_until = ledger.run_script(
        "number/end_try", keys, [number, handle, TRIES, unchecked_uuid, unanswered_handle]
    )
    return TriesLeft(int(tries), moment(int(locked_until)) if locked_until else None)


def mark_verified(
    ledger: Ledger, caller_ids: Sequence["VerifiedNumber"], handle: str = "", *, source: Source = Source.CODE
) -> list[Marked]:
    """Record numbers that Plivo reports as verified, and return what became of each, in the same order.

    `handle` is the handle of the code that Plivo accepted. It is empty for numbers from Plivo's list or a look-up.
    With one, a user hears that it is so. So replicas get a moment to confirm it, and a planned failover does not
    forget it. Without them it counts all the same: Plivo has the number in its list.
    """
    if not caller_ids:
        return []
    entries = json.dumps([_entry(one) for one in caller_ids])
    keys = [ledger.keys.record(one.phone_number) for one in caller_ids]
    run = ledger.run_safely if handle else ledger.run_script
    return [Marked(one) for one in run("number/mark_verified", keys, [entries, handle, source])]


def last_change(caller_id: "VerifiedNumber") -> datetime | None:
    """Return when Plivo last verified or changed a number; None if it gave no date."""
    return max((date for date in (caller_id.created_at, caller_id.modified_at) if date), default=None)


def _entry(caller_id: "VerifiedNumber") -> dict[str, Any]:
    alias = caller_id.alias.encode("utf-8", "replace").decode()[:ALIAS_LENGTH]  # other programs may have set it
    channel, country = _channel_and_country(caller_id.phone_number)
    return {
        "number": caller_id.phone_number,
        "uuid": caller_id.verification_uuid,
        "created": epoch_ms(caller_id.created_at),
        "dated": epoch_ms(last_change(caller_id)),
        "channel": channel,
        "subaccount": caller_id.subaccount if SUBACCOUNT.fullmatch(caller_id.subaccount) else "",
        "country": caller_id.country.upper() if re.fullmatch("[A-Za-z]{2}", caller_id.country) else country,
        "alias": pieces("alias", alias),
    }


def _channel_and_country(number: str) -> tuple[str, str]:
    """Return the channel by which a code would reach a number, and its country: Plivo's list has no channel."""
    try:
        parsed = parse(number)
        return channel_for(parsed, "auto"), parsed.country
    except InvalidNumber:
        return "sms", ""
