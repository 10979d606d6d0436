"""The arguments and the answers of the scripts, as typed values."""

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Final, Self

from ringproof.ledger.record import Lane, Reason, Record, State, reason_of, state_of


class Verdict(StrEnum):
    """The answer of `Ledger.begin` for one number."""

    BEGUN = "begun"  # the number is `sending`, and this caller sends
    LATER = "later"  # its turn has not come: begin again at `Begun.at`
    ELSEWHERE = "elsewhere"  # it stays queued: Plivo does not know the credentials of this worker
    WAITING = "waiting"  # it waits on the agenda until its record's `due_at`
    ENDED = "ended"  # it has failed or is cancelled
    NOTHING = "nothing"  # nothing to begin: another worker has the request, or it was replaced or has ended


VERDICTS: Final = {str(one): one for one in Verdict}  # a call of the class takes ten times as long


@dataclass(frozen=True, slots=True)
class Begun:
    """What `Ledger.begin` returns for one number.

    For BEGUN `record` has only what a sender needs: the request with its lane, channel, alias, subaccount, country,
    deadline and `resend`, the attempts, `lease_until` and `live_until`. It is None for LATER and ELSEWHERE, and if the
    number has no record.

    `wait` is the time until its slot, or for LATER until its turn. `at` is that moment by this process's
    `boot_clock()`, and `at_us` by the clock of Redis (µs since 1970).

        Begun(Verdict.BEGUN, timedelta(milliseconds=17), 3061.4, 1764376884216867, "9f86d081884c7d65", record)
    """

    verdict: Verdict
    wait: timedelta
    at: float
    at_us: int
    fence: str = field(repr=False)
    record: Record | None


class PlivoSignal(StrEnum):
    """What one answer of Plivo's means for all workers: whether to pause, or to go on."""

    NONE = ""  # nothing
    TAKEN = "taken"  # Plivo sent the code
    ANSWERED = "answered"  # Plivo answered that it sent no code
    KNOWN = "known"  # Plivo accepts the credentials of this worker
    NO_CREDIT = "no_credit"  # 402
    FORBIDDEN = "forbidden"  # 403
    NOT_FOUND = "not_found"  # 404 or 405, to a send
    THROTTLED = "throttled"  # 429
    UNAUTHORIZED = "unauthorized"  # 401, to the credentials of this worker
    DOUBTFUL = "doubtful"  # no answer, or none that shows whether Plivo sent the code


class AgendaAction(StrEnum):
    """What the script did with a due entry of the agenda."""

    ENQUEUE = "enqueue"  # the caller sends its message
    HELD = "held"  # a pause, or a long queue, keeps its message back
    TOO_LATE = "too_late"  # its deadline has passed: it has failed
    REFUSED = "refused"  # Plivo refuses its destination: it has failed
    CANCELLED = "cancelled"  # its batch was cancelled, so the request is cancelled
    DOUBTED = "doubted"  # its lease has ended without a settle: it is in doubt
    EXPIRED = "expired"  # its code has died
    LOOK_UP = "look_up"  # in doubt, and no code of it can be live: the caller sends the message of its look-up
    UNDECIDED = "undecided"  # no look-up has ended its doubt within a day: it has failed
    LIST = "list"  # its code has died, and it waits for a scan of Plivo's list
    KEPT = "kept"  # it was not due: the entry has another time now
    NEWER = "newer"  # only a newer version can go on with it: it is looked at again later
    DAMAGED = "damaged"  # its record is damaged: it is looked at again in minutes
    GONE = "gone"  # it has no record, or a final one: the entry is removed


@dataclass(frozen=True, slots=True)
class AgendaResult:
    """One due entry of the agenda, what the script did with it, and what its record says now."""

    action: AgendaAction
    phone_number: str = field(repr=False)
    request: int
    lane: Lane
    channel: str = ""
    state: State | None = None
    reason: Reason | None = None
    batch: str | None = None
    row: str | None = None


class Settled(StrEnum):
    """The answer of `Ledger.settle`."""

    SETTLED = "settled"  # done
    ALREADY = "already"  # an earlier call has done it
    STALE = "stale"  # nothing changed: the request is not this caller's, or its state does not allow this


_SETTLED: Final = {str(one): one for one in Settled}


@dataclass(frozen=True, slots=True)
class Written:
    """The answer of `Ledger.settle_many` for one settlement: what the record says now, and to which row it belongs.

    The state may be another one than the outcome's: an answer that concerns all numbers has this one wait. None stands
    for no record, and for a state that this version does not know.

        Written(Settled.SETTLED, State.WAITING, Reason.REFUSED, batch="spring", row="sms:17:US")
    """

    settled: Settled
    state: State | None
    reason: Reason | None = None
    batch: str | None = None
    row: str | None = None

    @classmethod
    def unpack(cls, settled: str, state: str, reason: str, batch: str, row: str) -> Self:
        """Unpack the answer of the script."""
        return cls(_SETTLED[settled], state_of(state), reason_of(reason), batch or None, row or None)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one attempt, for `Ledger.settle`.

    A code that was sent, a refusal, and a failed connection:

    Outcome(State.CODE_SENT, verification_uuid="3fa85f64-…", api_id="9a8b7c6d-…", plivo_signal=PlivoSignal.TAKEN)
    Outcome(State.FAILED, Reason.REJECTED, "400 invalid phone_number", plivo_signal=PlivoSignal.ANSWERED)
    Outcome(State.WAITING, Reason.UNREACHABLE, "503", wait=timedelta(seconds=4), counted=False)
    """

    state: State
    reason: Reason | None = None
    detail: str = ""
    wait: timedelta = timedelta()  # for WAITING: until it is due again
    counted: bool = True  # whether it counts as an attempt
    verification_uuid: str = ""
    api_id: str = ""
    plivo_signal: PlivoSignal = PlivoSignal.NONE
    retry_after: float | None = None  # the seconds that Plivo asked all to wait


@dataclass(frozen=True, slots=True)
class Settlement:
    """The result of one attempt with whose it is, for `Ledger.settle_many`.

    `fence` is the one that `begin` returned. `ago` is the time since the attempt ended.

        Settlement("+14155550123", 1764376884, begun.fence, Outcome(State.FAILED, Reason.REJECTED, "400 …"))
    """

    phone_number: str = field(repr=False)
    request: int
    fence: str = field(repr=False)
    outcome: Outcome
    ago: timedelta = timedelta()
