"""Everything Ringproof raises. Catch a branch, or a leaf; read its fields, never its text.

RingproofError
├── InvalidRequest            a field of the request is wrong; nothing was queued           (ValueError)
│   ├── InvalidNumber         the phone number is
│   ├── InvalidRoster         a whole file is, or cannot be read
│   ├── UnknownBatch          there is no batch of this name
│   ├── BatchExists           there is one, with other rows or over the import
│   └── BatchBusy             somebody else imports it
├── CoolingDown               a resend came too early; nothing was queued
├── Capped                    the number or its range got as many codes as it may           also at .get()
├── LedgerUnavailable         Redis did not take it
├── Misconfigured             the environment is wrong
├── Unwritable                a file of ours cannot be written
├── NotConfirmed              the number is not verified by this code                       at .get()
│   ├── WrongCode             Plivo did not take it
│   ├── TooManyTries          too many wrong ones were entered before
│   ├── CodeExpired           it was entered too late
│   ├── NothingPending        there is no code to be entered
│   └── Unconfirmed           nothing tells whether it is right
├── InDoubt                   a code may be out                                             at .get()
├── Failed                    final; the number can be asked for again                      at .get()
│   ├── Rejected              Plivo refused the request
│   ├── Forbidden             Plivo refused the account, the credit or the destination
│   ├── TooLate               it could not be sent in time, so it was not sent
│   ├── NeverAnswered         it stayed in doubt until no code could live any more
│   ├── CrashesWorker         its workers died, twice
│   ├── Cancelled             it was taken back before it was sent
│   └── Superseded            a later request took its place, and its own outcome is no longer kept
├── Unsent                    Plivo surely did not send; the worker decides                 inside the worker
│   ├── Unreachable           the request never arrived, or Plivo said that it is down
│   ├── LeaseOver             this process was too slow to send, or is to stop
│   ├── Throttled             429
│   └── Unauthorized          401
└── Unknown                   the request was written, and nothing tells what became of it  inside the worker

Rejected and Forbidden are what the client raises, too. Positional arguments are the fields and nothing else, so
that an error survives pickle and Celery's JSON. Numbers in them are masked by whoever raises them.
"""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType


class RingproofError(Exception):
    """Base of all errors of this project."""


class InvalidRequest(RingproofError, ValueError):
    """Nothing was queued: `field` holds `value`, which cannot be; `remedy` says what can."""

    def __init__(self, field: str, value: str, remedy: str) -> None:
        super().__init__(field, value, remedy)
        self.field, self.value, self.remedy = field, value, remedy

    def __str__(self) -> str:
        return f"{self.field}: {self.value}: {self.remedy}"


class InvalidNumber(InvalidRequest):
    """Nothing was queued: no code can be sent to this number, for `reason`; correct it and ask again."""

    REMEDIES: Mapping[str, str] = MappingProxyType(
        {
            "not_a_number": "not a phone number; write it as +14155550123",
            "no_country": "no country code; write it with one (+1 …), or name the country with region='US'",
            "impossible": "no number of that country has this many digits; check for missing or added ones",
            "invalid": "no such number is in use in that country's plan; check the digits",
            "extension": "has an extension, which a code cannot reach; give a direct number",
            "letters": "has letters in place of digits; write the digits",
            "premium": "costs whoever sends to it (premium rate); give an ordinary number",
            "shared_cost": "costs its caller extra (shared cost); give an ordinary number",
            "pager": "is a pager's, which takes no code; give the number of a telephone",
            "uan": "is one number for a whole company (UAN); give the direct number of a telephone",
            "voicemail": "is a mailbox's, where nobody answers; give the telephone's own number",
            "landline_sms": "a landline takes no text; use channel='call' or channel='auto'",
            "too_long": "longer than any phone number (64 characters); put one number into one field",
            "country": "of a country that RINGPROOF_COUNTRIES leaves out; add it there if codes are to go to it",
            "excel_number": "a spreadsheet has turned it into a quantity and digits may be lost; format the column as "
            "text in the spreadsheet and export it again",
        }
    )

    def __init__(self, reason: str, number: str) -> None:
        super().__init__("phone_number", number, self.REMEDIES[reason])
        self.args = (reason, number)
        self.reason = reason


class InvalidRoster(InvalidRequest):
    """The file `field` is no roster, or no longer one, because `value`; do what `remedy` says and import it again."""


class UnknownBatch(InvalidRequest):
    """There is no batch of this name; `ringproof batch ls` lists those that there are."""

    def __init__(self, name: str) -> None:
        super().__init__("batch", name, "there is none of this name; ringproof batch ls lists those that there are")
        self.args = (name,)


class BatchExists(InvalidRequest):
    """Nothing was imported: a batch of this name is there; do what `remedy` says."""

    def __init__(self, name: str, remedy: str) -> None:
        super().__init__("batch", name, remedy)
        self.args = (name, remedy)


class BatchBusy(InvalidRequest):
    """Another import of this batch is alive, or was since; wait for its end, or name another batch."""

    def __init__(self, name: str) -> None:
        super().__init__(
            "batch", name, "another import of it is alive, or was since; wait for its end, or name another"
        )
        self.args = (name,)


class CoolingDown(RingproofError):
    """Nothing was queued: the last code is too fresh for another; ask again after `until`."""

    def __init__(self, until: datetime) -> None:
        super().__init__(until)
        self.until = until

    def __str__(self) -> str:
        return f"a code was sent a moment ago; the next can be asked for at {self.until:%H:%M:%S %Z}"


class Capped(RingproofError):
    """No code is sent: `limit` has been reached, and ends at `until`; ask again then."""

    LIMITS: Mapping[str, str] = MappingProxyType(
        {
            "codes_per_day": "this number got as many codes as it may in a day (RINGPROOF_MAX_CODES_PER_DAY)",
            "calls_per_week": "this number was called as often as it may be in a week (RINGPROOF_MAX_CALLS_PER_WEEK)",
            "range_codes_per_hour": "the range of this number got as many codes as it may in an hour "
            "(RINGPROOF_RANGE_CODES_PER_HOUR): somebody may be running up costs with numbers of it",
        }
    )

    def __init__(self, limit: str, until: datetime) -> None:
        super().__init__(limit, until)
        self.limit, self.until = limit, until

    def __str__(self) -> str:
        return f"{self.LIMITS.get(self.limit, self.limit)}; ask again after {self.until:%Y-%m-%d %H:%M:%S %Z}"


class LedgerUnavailable(RingproofError):
    """Redis did not answer, so nothing was accepted as far as one can tell; asking again is safe."""

    def __init__(self, url: str, cause: str) -> None:
        super().__init__(url, cause)
        self.url, self.cause = url, cause

    def __str__(self) -> str:
        return f"Redis at {self.url} did not take it ({self.cause}); is it running, and is RINGPROOF_REDIS_URL right?"


class Misconfigured(RingproofError):
    """The environment is missing or wrong in the named variables; nothing was started."""

    def __init__(self, *problems: str) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        return "; ".join(self.problems)


class Unwritable(RingproofError):
    """The file cannot be written, for `cause`, and is as it was before; do what `remedy` says and try again."""

    def __init__(self, file: str, cause: str, remedy: str) -> None:
        super().__init__(file, cause, remedy)
        self.file, self.cause, self.remedy = file, cause, remedy

    def __str__(self) -> str:
        return f"{self.file}: {self.cause}: {self.remedy}"


class NotConfirmed(RingproofError):
    """The code that was entered has verified nothing; its leaves say why, and what to do. None of them shows it."""


class WrongCode(NotConfirmed):
    """Plivo did not take the code, which is wrong, used up or too old; enter it again, `tries_left` times at most.

    The client does not count: from it, that is None. At 0 have another sent.
    """

    def __init__(self, detail: str = "", tries_left: int | None = None) -> None:
        super().__init__(detail, tries_left)
        self.detail, self.tries_left = detail, tries_left

    def __str__(self) -> str:
        why = f" ({self.detail})" if self.detail else ""
        told = f"Plivo did not take the code{why}: it is wrong, used up or too old; "
        match self.tries_left:
            case None:
                return told + "enter it again, or have another sent"
            case 0:
                return told + "it cannot be entered any more: have another sent"
            case left:
                return told + f"enter it again (tries left: {left}), or have another sent"


class TooManyTries(NotConfirmed):
    """Plivo was not asked: this code was entered as often as it may be; have another sent (`resend=True`)."""

    def __str__(self) -> str:
        return "this code was entered as often as it may be; have another sent, with resend=True"


class CodeExpired(NotConfirmed):
    """Plivo was not asked: the code died at `at`; have another sent."""

    def __init__(self, at: datetime) -> None:
        super().__init__(at)
        self.at = at

    def __str__(self) -> str:
        return f"the code expired at {self.at:%H:%M:%S %Z}; have another sent"


class NothingPending(NotConfirmed):
    """Plivo was not asked: the number, in `state` ('': unknown here), has no code to enter; have one sent.

    In the state `verified` none is needed: it was verified before, or somebody was quicker.
    """

    def __init__(self, state: str = "") -> None:
        super().__init__(state)
        self.state = state

    def __str__(self) -> str:
        match self.state:
            case "verified":
                return "there is no code to enter: the number is verified already"
            case "":
                return "there is no code to enter: this number is unknown here; have a code sent"
            case state:
                return f"there is no code to enter: the number is {state}, and of no code Plivo has told the id"


class Unconfirmed(NotConfirmed):
    """Nothing tells whether the code is right, for `cause`; enter it again in a moment."""

    def __init__(self, cause: str = "") -> None:
        super().__init__(cause)
        self.cause = cause

    def __str__(self) -> str:
        why = f" ({self.cause})" if self.cause else ""
        return f"nothing tells whether the code is right{why}; enter it again in a moment"


class InDoubt(RingproofError):
    """A code may be out, and nothing tells; no other is sent before `until`, when the last possible one has died."""

    def __init__(self, until: datetime) -> None:
        super().__init__(until)
        self.until = until

    def __str__(self) -> str:
        return (
            f"Plivo may have sent a code, and nothing tells; without Plivo's id of it, it cannot be confirmed here. "
            f"After {self.until:%H:%M:%S %Z} ask again, or at once with resend=True"
        )


class Failed(RingproofError):
    """Final: no code can be entered for this request; correct what `detail` names and ask again."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail)
        self.detail = detail

    def __str__(self) -> str:
        told = (self.__doc__ or type(self).__name__).partition(";")[0]  # without docstrings: python -OO
        return f"{told} ({self.detail})" if self.detail else told

    @property
    def remedy(self) -> str:
        """What happens next, or can be done: the class's own words."""
        return (self.__doc__ or "").partition("; ")[2].removesuffix(".")


class Rejected(Failed):
    """Plivo refused the request, and will tomorrow; correct what it names and ask again."""


class Forbidden(Failed):
    """Plivo refused for want of credit or of permission for this destination; see the account, then ask again."""


class TooLate(Failed):
    """No code could be sent within the request's time, so none was; ask again."""


class NeverAnswered(Failed):
    """Nobody ever told whether a code was sent, and by now none can live; ask again."""


class CrashesWorker(Failed):
    """The worker died while it held this request, and again when it was repeated; look into the workers' logs."""


class Cancelled(Failed):
    """It was cancelled before anything was sent; ask again if it is wanted after all."""


class Superseded(Failed):
    """A newer request took its place and its own outcome is no longer kept; ask for the number's newest result."""


class Unsent(RingproofError):
    """Plivo surely sent nothing; `retry_after` is the seconds it asked for, or None."""

    def __init__(self, cause: str, retry_after: float | None = None) -> None:
        super().__init__(cause, retry_after)
        self.cause, self.retry_after = cause, retry_after

    def __str__(self) -> str:
        return self.cause


class Unreachable(Unsent):
    """The request never arrived, or Plivo said that it is down; it waits, and is tried again."""


class LeaseOver(Unsent):
    """This process was frozen, too slow or told to stop; it gives the number back unsent, to be begun anew."""


class Throttled(Unsent):
    """Plivo's limit; no attempt is burnt, the number waits for the pace."""


class Unauthorized(Unsent):
    """Plivo does not know these credentials; nothing else will succeed until they are mended."""


class Unknown(RingproofError):
    """Done or not, an initiate's code out or not: no answer said what became of it; an initiate is never repeated."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause

    def __str__(self) -> str:
        return self.cause
