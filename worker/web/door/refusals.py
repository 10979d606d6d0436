"""How the door refuses. Each client of Plivo's shows its caller the sentence of a 400, a 404 and a 409.

| status | what it means | fields beside `error` and `reason` |
|---|---|---|
| 400 | this request is wrong, and stays wrong | `tries_left` after a wrong code |
| 404 | there is no such verification, or no such verified number | |
| 409 | not now | `until`, and a header `Retry-After`, if it is known |

There are no others beside 401 and 405. Plivo's clients repeat a 5xx up to six times, and follow a redirect with a
second POST; some take a 402, 403, 408 or 429 for something else.
"""

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

from ringproof import errors
from worker.plivo_http.answers import RefusalError

AGAIN_SECONDS: Final = 2
"""After so long a repetition may help, if nobody knows more."""


def rfc3339(when: datetime) -> str:
    """Return a time as Plivo writes it: `2026-11-29T00:41:24.123000Z`."""
    return f"{when.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def wrong(reason: str, text: str, **facts: Any) -> RefusalError:
    """Refuse a request that is wrong, and stays wrong."""
    return RefusalError(400, text, None, reason=reason, **facts)


def with_reason(refusal: RefusalError) -> RefusalError:
    """Return the refusal of a request that Plivo would refuse, too, with a word for it, which Plivo does not have."""
    if refusal.status == 400:
        refusal.facts.setdefault("reason", "invalid_request")
    return refusal


def not_now(reason: str, text: str, until: datetime | None = None) -> RefusalError:
    """Refuse for now, until a moment if it is known."""
    if until is None:
        return RefusalError(409, text, reason=reason)
    seconds = (until - datetime.now(UTC)).total_seconds()
    return RefusalError(409, text, _retry_after(seconds), reason=reason, until=rfc3339(until))


def soon(reason: str, text: str, seconds: float = AGAIN_SECONDS) -> RefusalError:
    """Refuse for some seconds."""
    return RefusalError(409, text, _retry_after(seconds), reason=reason)


def refusal_of(error: errors.RingproofError) -> RefusalError:
    """Return the refusal of a request that the ledger, a worker or Plivo has refused."""
    return next(_REFUSALS[kind](error) for kind in type(error).__mro__ if kind in _REFUSALS)


def _retry_after(seconds: float) -> dict[str, str]:
    return {"Retry-After": str(max(1, math.ceil(seconds)))}


def _wrong_code(reason: str, text: str, tries_left: int, locked_until: datetime | None = None) -> RefusalError:
    locked = {"until": rfc3339(locked_until)} if locked_until else {}
    return wrong(reason, text, tries_left=tries_left, **locked)


def _by_its_name(error: errors.RingproofError) -> RefusalError:
    """Refuse with a reason such as nothing_pending, for the class `NothingPending`."""
    name = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in type(error).__name__)
    return not_now(name.removeprefix("_"), error.message)


_IN_DOUBT: Final = (
    "Plivo may have sent a code, but did not say so, and it cannot be confirmed; ask again after `until`, or delete "
    "the number and then ask for another code"
)
_TOO_MANY: Final = "this code was entered too often; delete the number, and then ask for another code"
_AWAY: Final = "the ledger did not answer; ask again in a moment: no second code is sent for it"
_DAMAGED: Final = "what the ledger has about this is damaged, and asking again does not help; say so to the operator"
_NO_ACCOUNT: Final = "the account of this credential is not known at this server; say so to its operator"
_NO_PLIVO: Final = (
    "only Plivo can answer this, and the server has none of Plivo's credentials: start it with PLIVO_AUTH_ID and "
    "PLIVO_AUTH_TOKEN"
)


def _unanswered(reason: str) -> Callable[[Any], RefusalError]:
    def refuse(error: Any) -> RefusalError:
        seconds = getattr(error, "retry_after", None) or AGAIN_SECONDS
        return soon(reason, f"Plivo has not answered this ({error.message}); ask again", seconds)

    return refuse


_REFUSALS: Final[Mapping[type, Callable[[Any], RefusalError]]] = MappingProxyType(
    {
        errors.InvalidNumber: lambda error: wrong(error.reason, error.message),
        errors.UnknownAccount: lambda _: not_now("no_account", _NO_ACCOUNT),
        errors.InvalidRequest: lambda error: wrong(f"invalid_{error.field}", error.message),
        errors.Rejected: lambda error: wrong("rejected", error.message),
        errors.WrongCode: lambda error: _wrong_code(
            "wrong_code", error.message, error.tries_left or 0, error.locked_until
        ),
        errors.TooManyTries: lambda _: _wrong_code("too_many_tries", _TOO_MANY, 0),
        errors.Locked: lambda error: _wrong_code("locked", error.message, 0, error.until),
        errors.CodeExpired: lambda error: _wrong_code("expired", error.message, 0),
        errors.Unconfirmed: lambda error: soon("unconfirmed", error.message),
        errors.CoolingDown: lambda error: not_now("cooling_down", error.message, error.until),
        errors.Capped: lambda error: not_now(error.limit, error.message, error.until),
        errors.InDoubt: lambda error: not_now("in_doubt", _IN_DOUBT, error.until),
        errors.LedgerUnavailable: lambda _: soon("ledger_away", _AWAY),
        errors.LedgerDamaged: lambda _: not_now("ledger_damaged", _DAMAGED),
        errors.Misconfigured: lambda _: not_now("no_plivo", _NO_PLIVO),
        errors.Unsent: _unanswered("unreachable"),
        errors.LeaseOver: _unanswered("no_slot"),
        errors.Throttled: _unanswered("throttled"),
        errors.Unauthorized: lambda _: not_now("no_plivo", _NO_PLIVO),
        errors.Unknown: _unanswered("unknown"),
        errors.RingproofError: _by_its_name,
    }
)
"""How each class of errors is refused; one that is not here, as the class above it in the error tree."""
