"""One attempt on one number that was begun: wait for its slot, and ask Plivo once."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ringproof.clock import boot_clock
from ringproof.errors import LeaseOver, LedgerUnavailable, RingproofError
from ringproof.ledger.answers import Begun, Outcome, PlivoSignal, Verdict
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import Record, State
from worker.sending import fixed_code
from worker.sending.final_check import CONNECT_SECONDS, FinalCheck, SlotMissed
from worker.sending.late_sends import LateSends
from worker.sending.outcomes import http_status_of, outcome_of

if TYPE_CHECKING:
    from ringproof.plivo.client import PlivoClient, Sent


@dataclass(frozen=True, slots=True)
class Attempted:
    """What became of one attempt, to be written to the ledger.

    `slot`, `passed_at` and `ended_at` are moments of this process's `boot_clock()`: when the request was due, when it
    could begin (None: never), and when its answer came. `http_status` is None if there was no answer.
    """

    begun: Begun
    record: Record
    outcome: Outcome
    slot: float
    passed_at: float | None
    ended_at: float
    http_status: int | None


class SlotRevoked(Exception):
    """The number is queued again, because a pause or another pace has come before its slot; nothing was sent."""


def attempt(
    ledger: Ledger,
    client: "PlivoClient",
    begun: Begun,
    asked_at: float,
    lead: float = 0.0,
    late_sends: LateSends | None = None,
) -> Attempted:
    """Have Plivo send a code to a number that was begun. Raises `SlotRevoked`: then begin the number again.

    `asked_at` is the `boot_clock()` time before begin was called. `lead` is that of `Ledger.begin`, for another slot if
    this one is missed; `late_sends` gets it, in one call with those of other threads.

        asked_at = boot_clock()
        (begun,) = ledger.begin([(number, request)], fence=secrets.token_hex(8))
        if begun.verdict is Verdict.BEGUN:
            results.write(attempt(ledger, client, begun, asked_at))
    """
    record = begun.record
    assert record is not None  # noqa: S101  # begin has read what it claimed
    if record.is_test:
        return Attempted(begun, record, fixed_code.outcome(), begun.at, None, boot_clock(), None)
    # Counted from before the call of begin, so that the lease never looks longer than it is.
    first_byte_until = asked_at + (begun.wait + ledger.durations.first_byte).total_seconds()
    check = FinalCheck(
        begun.at, first_byte_until, _Slots(late_sends or LateSends(ledger), record, begun.at_us, lead).replace
    )
    try:
        sent = _send(ledger, client, begun, record, check, has_waited=boot_clock() > asked_at + CONNECT_SECONDS)
        outcome = Outcome(
            State.CODE_SENT,
            verification_uuid=sent.verification_uuid,
            api_id=sent.api_id,
            plivo_signal=PlivoSignal.TAKEN,
        )
        http_status: int | None = sent.http_status
    except RingproofError as error:
        outcome, http_status = outcome_of(error, record.attempts), http_status_of(error)
    return Attempted(begun, record, outcome, check.slot, check.passed_at, boot_clock(), http_status)


def _send(
    ledger: Ledger, client: "PlivoClient", begun: Begun, record: Record, check: FinalCheck, *, has_waited: bool
) -> "Sent":
    """Ask Plivo for a code at the slot. Raises the client's errors, `SlotRevoked` and `LeaseOver`."""
    while True:
        if check.wait_to_connect() or has_waited:
            _confirm_claim(ledger, begun, record)
            has_waited = False
        try:
            return client.initiate(
                record.phone_number,
                alias=record.alias,
                channel=record.channel,
                subaccount=record.subaccount,
                before_first_byte=check,
            )
        except SlotMissed:
            continue


def _confirm_claim(ledger: Ledger, begun: Begun, record: Record) -> None:
    """Have the ledger confirm the claim of a number that has waited for its slot: a pause may have begun.

    Raises `SlotRevoked` if the slot no longer counts, and `LeaseOver` if the ledger does not answer.
    """
    try:
        (again,) = ledger.begin([(record.phone_number, record.request)], fence=begun.fence)
    except LedgerUnavailable as error:
        raise LeaseOver(error.message) from error
    if again.verdict is not Verdict.BEGUN:
        raise SlotRevoked


class _Slots:
    """The slots of one send, one after the other, as it misses them."""

    def __init__(self, late_sends: LateSends, record: Record, first_us: int, lead: float) -> None:
        self._late_sends, self._record, self._lead = late_sends, record, lead
        self._last_us = first_us

    def replace(self) -> float:
        """Reserve another slot in place of the last one. Raises `LeaseOver` if there is none."""
        slot = self._late_sends.replace(self._record, self._last_us, self._lead)
        self._last_us = slot.at_us
        return slot.at
