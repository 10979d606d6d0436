"""All errors that Ringproof raises. Catch a class or a whole branch, and read its fields, never its text.

RingproofError
├── InvalidRequest            a field of the request is wrong; nothing was queued           (ValueError)
│   ├── InvalidNumber         no code can be sent to this phone number                      also at .get()
│   ├── InvalidRoster         a file cannot be read, or is no roster
│   ├── UnknownBatch          no batch has this name
│   ├── UnknownAccount        no account of the installation has this name
│   ├── BatchExists           a batch of this name has these rows already, or others
│   └── BatchBusy             another process imports the batch
├── CoolingDown               a resend came too early; nothing was queued
├── Capped                    the number or its range got as many codes as it may           also at .get()
│   └── Overloaded            so many people wait that the code would come too late
├── LedgerUnavailable         Redis did not answer, or refused the change
│   ├── LedgerDamaged         a key of Ringproof's has something else than Ringproof writes
│   └── TooFewReplicas        a failover of Redis could forget the change
├── Misconfigured             a variable of the environment is missing or wrong
├── Unwritable                a file cannot be written
├── NotConfirmed              the code has not verified the number                          at .get()
│   ├── WrongCode             Plivo did not take the code
│   ├── TooManyTries          the code was entered five times before
│   ├── Locked                too many wrong codes were entered for the number
│   ├── CodeExpired           the code was entered too late
│   ├── NothingPending        there is no code to confirm
│   ├── AnotherRequest        the number's last code was sent for another request
│   └── Unconfirmed           it is not known whether the code is right
├── InDoubt                   Plivo may have sent a code, but did not say so                at .get()
├── Failed                    final; the number can be asked for again                      at .get()
│   ├── Rejected              Plivo refused the request
│   ├── Forbidden             Plivo does not send to this destination
│   ├── TooLate               no code could be sent in time, so none was sent
│   ├── NeverAnswered         the number was in doubt until no code could be live
│   ├── CrashesWorker         two workers died while they sent the request
│   ├── Cancelled             the request was cancelled before it was sent
│   └── Superseded            a newer request took its place, and its own outcome is no longer kept
├── Unsent                    Plivo surely sent nothing; the worker acts on it              inside the worker
│   ├── Unreachable           the request never arrived, or Plivo said that it is down
│   ├── LeaseOver             the process was too slow for its slot, got none in time, or is stopping
│   ├── Throttled             Plivo answered 429
│   └── Unauthorized          Plivo answered 401
└── Unknown                   the request was written, and no answer says what became of it inside the worker

Plivo's client also raises Rejected and Forbidden. The positional arguments of an error are its fields and nothing
else, so that it survives pickle and Celery's JSON. The caller masks numbers before it raises an error with them.

`str(error)` is its `message` with its `link`, the place in the documentation that explains it:

    the code expired at 15:04:05 UTC; have another code sent (see docs/guide/results-and-errors.md#codeexpired)
"""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

from ringproof.printable import printable

GUIDE = "docs/guide/results-and-errors.md"
"""The page with an anchor for each class and each reason. It is a path until the documentation has an address."""


def reason_link(reason: str) -> str:
    """Return the place in the documentation that explains a record's reason."""
    return f"{GUIDE}#reason-{reason}"


class RingproofError(Exception):
    """The base class of all errors of Ringproof."""

    @property
    def message(self) -> str:
        """What happened and what to do now, without the link."""
        return printable(self._text())

    @property
    def link(self) -> str:
        """The place in the documentation that explains this error."""
        return f"{GUIDE}#{self._anchor()}"

    def __str__(self) -> str:
        return f"{self.message} (see {self.link})".lstrip()

    def _text(self) -> str:
        return super().__str__()

    def _anchor(self) -> str:
        return type(self).__name__.lower()


class InvalidRequest(RingproofError, ValueError):
    """Nothing was queued: `field` has the wrong value `value`; do what `remedy` says."""

    def __init__(self, field: str, value: str, remedy: str) -> None:
        super().__init__(field, value, remedy)
        self.field, self.value, self.remedy = field, value, remedy

    def _text(self) -> str:
        return f"{self.field}: {self.value}: {self.remedy}"


class InvalidNumber(InvalidRequest):
    """Nothing was queued: no code can be sent to this number, because of `reason`; correct it and ask again."""

    REMEDIES: Mapping[str, str] = MappingProxyType(
        {
            "not_a_number": "not a phone number; write it as +14155550123",
            "not_text": "an integer, which has no + and no 0 in front; give the number as text: '+14155550123'",
            "ambiguous": "two numbers have these digits, one of them if a + was lost in front; write it with + and "
            "country code",
            "no_country": "no country code; write it with one (+1 …), or name the country with region='US'",
            "impossible": "no number of that country has this many digits; check for missing or extra digits",
            "invalid": "no such number is in use in that country's plan; check the digits",
            "extension": "a code cannot reach an extension; give a direct number",
            "letters": "letters in place of digits; write the digits",
            "premium": "a premium-rate number, which costs the sender extra; give an ordinary number",
            "shared_cost": "a shared-cost number, which costs the caller extra; give an ordinary number",
            "pager": "a pager's number, which takes no code; give the number of a telephone",
            "uan": "one number for a whole company (UAN); give the direct number of a telephone",
            "voicemail": "a mailbox's number, where no person answers; give the telephone's own number",
            "landline_sms": "a landline takes no text; use channel='call' or channel='auto'",
            "too_long": "longer than any phone number (64 characters); put one number into one field",
            "country": "of a country that RINGPROOF_COUNTRIES leaves out; to send codes there, add the country",
            "network": "of a satellite network or another one without a country, where a code costs far more; to send "
            "codes there, add its calling code to RINGPROOF_COUNTRIES: all,+881",
            "personal": "a personal number, such as 070 in the United Kingdom: it forwards to any other one, and costs "
            "more; to send codes to such numbers, add personal to RINGPROOF_COUNTRIES: all,personal",
            "excel_number": "a spreadsheet has turned it into a quantity, and digits may be lost; format the column as "
            "text in the spreadsheet, and export it again",
        }
    )

    def __init__(self, reason: str, number: str, *readings: str) -> None:
        """`readings` are the numbers that an `ambiguous` one may be, masked."""
        meant = f" ({' or '.join(readings)})" if readings else ""
        super().__init__("phone_number", number, self.REMEDIES[reason] + meant)
        self.args = (reason, number, *readings)
        self.reason = reason

    def _anchor(self) -> str:
        return f"number-{self.reason}"


class InvalidRoster(InvalidRequest):
    """The file `field` cannot be imported, because `value`; do what `remedy` says, and import it again."""


class UnknownBatch(InvalidRequest):
    """No batch has this name; `ringproof batch ls` lists the batches."""

    def __init__(self, name: str) -> None:
        super().__init__("batch", name, "no batch has this name; ringproof batch ls lists the batches")
        self.args = (name,)


class UnknownAccount(InvalidRequest):
    """No account of this installation has this name; add it where RINGPROOF_ACCOUNTS says, or correct the name.

    `nearest` is the account whose name is nearest to it; empty if none is near.
    """

    def __init__(self, name: str, nearest: str = "") -> None:
        hint = f"did you mean {nearest}?" if nearest else "add it where RINGPROOF_ACCOUNTS says"
        super().__init__("account", name, f"no account has this name; {hint}")
        self.nearest = nearest
        self.args = (name, nearest)


class BatchExists(InvalidRequest):
    """Nothing was imported, because a batch has this name; do what `remedy` says."""

    def __init__(self, name: str, remedy: str) -> None:
        super().__init__("batch", name, remedy)
        self.args = (name, remedy)


class BatchBusy(InvalidRequest):
    """Another process imports this batch, or took its import over; wait until it ends, or name another batch."""

    def __init__(self, name: str) -> None:
        super().__init__(
            "batch", name, "another process imports it, or took its import over; wait until it ends, or name another"
        )
        self.args = (name,)


class CoolingDown(RingproofError):
    """Nothing was queued: the last code was sent too short a time ago; ask again after `until`."""

    def __init__(self, until: datetime) -> None:
        super().__init__(until)
        self.until = until

    def _text(self) -> str:
        return f"a code was sent a moment ago; ask for the next one after {self.until:%H:%M:%S %Z}"


class Capped(RingproofError):
    """No code is sent: the number, its range, its country, or all people have reached `limit`; ask after `until`."""

    LIMITS: Mapping[str, str] = MappingProxyType(
        {
            "codes_per_day": "this number got as many codes as it may in a day (RINGPROOF_MAX_CODES_PER_DAY)",
            "calls_per_week": "this number got as many calls as it may in a week (RINGPROOF_MAX_CALLS_PER_WEEK)",
            "range_codes_per_hour": "the range of this number got as many codes as it may in an hour "
            "(RINGPROOF_RANGE_CODES_PER_HOUR); an attacker may be running up costs with its numbers",
            "country_codes_per_hour": "the country of this number got as many codes as people may ask for in an hour "
            "(RINGPROOF_COUNTRY_CODES_PER_HOUR)",
            "people_codes_per_day": "all numbers together got as many codes as people may ask for in a day "
            "(RINGPROOF_PEOPLE_CODES_PER_DAY)",
            "backlog": "so many people wait for a code that this one would come after the end of the request",
            "requester_codes_per_hour": "this requester asked for as many codes as one may in an hour "
            "(RINGPROOF_REQUESTER_CODES_PER_HOUR)",
            "requester_codes_per_day": "this requester asked for as many codes as one may in a day "
            "(RINGPROOF_REQUESTER_CODES_PER_DAY)",
            "breaker": "hardly any of the people who ask for codes to the country of this number enter them, so only "
            "numbers that were verified before get codes (RINGPROOF_BREAKER_PERCENT), and now and then another one",
        }
    )

    def __init__(self, limit: str, until: datetime) -> None:
        super().__init__(limit, until)
        self.limit, self.until = limit, until

    def _anchor(self) -> str:
        return f"limit-{self.limit}" if self.limit in self.LIMITS else super()._anchor()

    def _text(self) -> str:
        return f"{self.LIMITS.get(self.limit, self.limit)}; ask again after {self.until:%Y-%m-%d %H:%M:%S %Z}"


class Overloaded(Capped):
    """Nothing was queued: so many people wait that a code could come only at `sent_at`; ask again after `until`.

    The request would end before that. If a person asks after `until`, there is room as far as can be known now. `limit`
    is `backlog`.
    """

    def __init__(self, until: datetime, sent_at: datetime) -> None:
        super().__init__("backlog", until)
        self.args = (until, sent_at)
        self.sent_at = sent_at

    def _text(self) -> str:
        return (
            f"{self.LIMITS[self.limit]}; it could be sent at {self.sent_at:%H:%M:%S %Z} at the earliest. Ask again "
            f"after {self.until:%H:%M:%S %Z}"
        )


class LedgerUnavailable(RingproofError):
    """Redis did not answer, or refused the change, so the request may not be accepted; it is safe to ask again.

    `is_refusal` is whether Redis answered, and refused.
    """

    REMEDY = "check that it runs, and RINGPROOF_REDIS_URL"

    def __init__(self, url: str, cause: str, remedy: str = REMEDY, is_refusal: bool = False) -> None:
        super().__init__(url, cause, remedy, is_refusal)
        self.url, self.cause, self.remedy, self.is_refusal = url, cause, remedy, is_refusal

    def _text(self) -> str:
        return f"Redis at {self.url} did not take it ({self.cause}); {self.remedy}"


class LedgerDamaged(LedgerUnavailable):
    """A key of Ringproof's in Redis has something else than Ringproof writes; asking again does not help.

    Ringproof itself writes nothing of the kind: a person or another program has changed the key.
    """

    REMEDY = "if it is the record of a number, `ringproof erase NUMBER` removes it"

    def __init__(self, url: str, cause: str, remedy: str = REMEDY, is_refusal: bool = True) -> None:
        super().__init__(url, cause, remedy, is_refusal)


class TooFewReplicas(LedgerUnavailable):
    """Too few replicas of Redis confirm what is written, so that a failover could forget it; it is safe to ask again.

    RINGPROOF_REPLICAS is how many must. A request may be accepted nevertheless, and then its code is sent as soon as
    they do; asking again does not have a second one sent.
    """

    REMEDY = "bring the replicas of Redis back, or lower RINGPROOF_REPLICAS; it is safe to ask again"

    def __init__(self, url: str, cause: str, remedy: str = REMEDY, is_refusal: bool = False) -> None:
        super().__init__(url, cause, remedy, is_refusal)

    def _text(self) -> str:
        return f"Redis at {self.url} has too few replicas: {self.cause}; {self.remedy}"


class Misconfigured(RingproofError):
    """Variables of the environment are missing or wrong; correct what `problems` name, and start again."""

    def __init__(self, *problems: str) -> None:
        super().__init__(*problems)
        self.problems = problems

    def _text(self) -> str:
        return "; ".join(self.problems)


class Unwritable(RingproofError):
    """The file cannot be written, because of `cause`, and is unchanged; do what `remedy` says, and try again."""

    def __init__(self, file: str, cause: str, remedy: str) -> None:
        super().__init__(file, cause, remedy)
        self.file, self.cause, self.remedy = file, cause, remedy

    def _text(self) -> str:
        return f"{self.file}: {self.cause}: {self.remedy}"


class NotConfirmed(RingproofError):
    """The code that was entered has verified nothing. The classes below say why; none of them shows the code."""


class WrongCode(NotConfirmed):
    """Plivo did not take the code: it is wrong, used up or too old; enter it again, `tries_left` times at most.

    At 0, have another code sent, but after `locked_until` if this wrong code has locked the number. The client does
    not count, and raises the error with None.
    """

    def __init__(self, detail: str = "", tries_left: int | None = None, locked_until: datetime | None = None) -> None:
        super().__init__(detail, tries_left, locked_until)
        self.detail, self.tries_left, self.locked_until = detail, tries_left, locked_until

    def _text(self) -> str:
        why = f" ({self.detail})" if self.detail else ""
        refused = f"Plivo did not take the code{why}: it is wrong, used up or too old; "
        if self.locked_until:
            return refused + f"no tries are left, {_locked(self.locked_until)}"
        match self.tries_left:
            case None:
                return refused + "enter it again, or have another code sent"
            case 0:
                return refused + "no tries are left: have another code sent"
            case left:
                return refused + f"enter it again (tries left: {left}), or have another code sent"


class TooManyTries(NotConfirmed):
    """Plivo was not asked: this code was entered five times before; have another code sent (`resend=True`)."""

    def _text(self) -> str:
        return "this code was entered too often; have another code sent, with resend=True"


class Locked(NotConfirmed):
    """Plivo was not asked: too many wrong codes were entered for this number; enter a code after `until`.

    They count over all codes of the number, and a new code does not end the lock.
    """

    def __init__(self, until: datetime) -> None:
        super().__init__(until)
        self.until = until

    def _text(self) -> str:
        return f"too many wrong codes were entered, {_locked(self.until)}"


def _locked(until: datetime) -> str:
    return f"and no code of this number is checked before {until:%Y-%m-%d %H:%M:%S %Z}; have one sent then"


class CodeExpired(NotConfirmed):
    """Plivo was not asked: the code died at `at`; have another code sent."""

    def __init__(self, at: datetime) -> None:
        super().__init__(at)
        self.at = at

    def _text(self) -> str:
        return f"the code expired at {self.at:%H:%M:%S %Z}; have another code sent"


class NothingPending(NotConfirmed):
    """Plivo was not asked: there is no code to confirm, in this `state` ('': unknown here); have a code sent.

    The state `verified` is no proof about the user who has entered this code: the number was verified before.
    """

    def __init__(self, state: str = "") -> None:
        super().__init__(state)
        self.state = state

    def _text(self) -> str:
        match self.state:
            case "verified":
                return (
                    "there is no code to confirm: an earlier one has verified the number, and this one proves nothing"
                )
            case "":
                return "there is no code to confirm: the number is unknown here; have a code sent"
            case state:
                return f"there is no code to confirm: the number is {state}"


class AnotherRequest(NotConfirmed):
    """Plivo was not asked: the number's last code was not sent for this request; have a code sent, and enter that."""

    def _text(self) -> str:
        return "the number's last code was sent for another request; have a code sent for this one, and enter that"


class Unconfirmed(NotConfirmed):
    """It is not known whether the code is right, because of `cause`; enter it again in a moment."""

    def __init__(self, cause: str = "") -> None:
        super().__init__(cause)
        self.cause = cause

    def _text(self) -> str:
        why = f" ({self.cause})" if self.cause else ""
        return f"it is not known whether the code is right{why}; enter it again in a moment"


class InDoubt(RingproofError):
    """Plivo may have sent a code, but did not say so; ask again after `until`, when the last possible code has died."""

    def __init__(self, until: datetime) -> None:
        super().__init__(until)
        self.until = until

    def _text(self) -> str:
        return (
            "Plivo may have sent a code, but did not say so; without Plivo's id of it, it cannot be confirmed here. "
            f"Ask again after {self.until:%H:%M:%S %Z}, or once the cooldown is over with resend=True"
        )


class Failed(RingproofError):
    """The request has failed, and no code of it can be entered; correct its cause, and ask again."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail)
        self.detail = detail

    def _text(self) -> str:
        what = (self.__doc__ or type(self).__name__).partition(";")[0]  # python -OO has no docstrings
        detail = f" ({self.detail})" if self.detail else ""
        return f"{what}{detail}; {self.remedy}" if self.remedy else f"{what}{detail}"

    @property
    def remedy(self) -> str:
        """What to do now: the words after the semicolon in the class's docstring."""
        return (self.__doc__ or "").partition("; ")[2].removesuffix(".")


class Rejected(Failed):
    """Plivo refused the request, and would refuse it again; correct what Plivo names, and ask again."""


class Forbidden(Failed):
    """Plivo does not send to this destination; enable its country in the Geo Permissions of Plivo's console."""


class TooLate(Failed):
    """No code could be sent within the request's time, so none was sent; ask again."""


class NeverAnswered(Failed):
    """Plivo never said whether it sent a code, and no code can be live any more; ask again."""


class CrashesWorker(Failed):
    """A worker died while it sent this request, and another one when it was repeated; look into the workers' logs."""


class Cancelled(Failed):
    """The request was cancelled before anything was sent; ask again if the code is wanted after all."""


class Superseded(Failed):
    """A newer request took its place, and its own outcome is no longer kept; read the number's newest result."""


class Unsent(RingproofError):
    """Plivo surely sent nothing. `retry_after` has the seconds that Plivo asked for, or None.

    Its text has no link: it is `cause` alone, which the worker writes into its logs and into records.
    """

    def __init__(self, cause: str, retry_after: float | None = None) -> None:
        super().__init__(cause, retry_after)
        self.cause, self.retry_after = cause, retry_after

    def _text(self) -> str:
        return self.cause

    def __str__(self) -> str:
        return self.cause


class Unreachable(Unsent):
    """The request never arrived, or Plivo said that it is down; the number waits, and the worker tries again."""


class LeaseOver(Unsent):
    """The process was frozen, too slow or is stopping, or no slot came in time; it asked nothing of Plivo.

    A number is given back unsent, to be begun again.
    """


class Throttled(Unsent):
    """Plivo answered 429; the attempt does not count, and the number waits for the pace."""


class Unauthorized(Unsent):
    """Plivo does not know the credentials of this worker; others do its work, or all wait if all are refused."""


class Unknown(RingproofError):
    """The request was written, and no answer says what became of it; a request for a code is never repeated.

    Its text has no link, as that of `Unsent`.
    """

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause

    def _text(self) -> str:
        return self.cause

    def __str__(self) -> str:
        return self.cause
