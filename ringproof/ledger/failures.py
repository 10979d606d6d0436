"""The typed error of a record that failed: `.get()` of a result raises it."""

from typing import Final

from ringproof import errors
from ringproof.ledger.record import Reason, Record, State
from ringproof.phone.masking import mask

FAILURES: Final[dict[Reason | None, type[errors.Failed]]] = {
    Reason.REJECTED: errors.Rejected,
    Reason.FORBIDDEN: errors.Forbidden,
    Reason.TOO_LATE: errors.TooLate,
    Reason.UNREACHABLE: errors.TooLate,
    Reason.IN_DOUBT: errors.NeverAnswered,
    Reason.CRASHES_WORKER: errors.CrashesWorker,
}


def failure_of(record: Record) -> errors.RingproofError | None:
    """Return the typed error of a record, or None if it has not failed, is not cancelled and is not in doubt."""
    if record.state is State.IN_DOUBT and record.live_until:
        return errors.InDoubt(record.live_until)
    if record.state is State.CANCELLED:
        return errors.Cancelled()
    if record.state is State.FAILED and record.reason is Reason.CAPPED and record.due_at:
        return errors.Capped(record.detail or "", record.due_at)
    if record.state is State.FAILED and record.reason is Reason.COUNTRY:
        return errors.InvalidNumber(record.detail or "country", mask(record.phone_number))
    if record.state is State.FAILED:
        return FAILURES.get(record.reason, errors.Failed)(record.detail or "")
    return None
