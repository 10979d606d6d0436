"""One attempt on one number that was begun: wait for its slot, ask Plivo once, and write the result to the ledger."""

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from ringproof.clock import boot_clock
from ringproof.errors import LeaseOver, LedgerUnavailable, RingproofError
from ringproof.ledger.answers import Begun, Outcome, PlivoSignal, Verdict
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.pace import replace_slot
from ringproof.ledger.record import Record, State
from ringproof.phone.masking import mask
from worker.celery import shutdown
from worker.sending.outcomes import outcome_of
from worker.sending.retry import until_ledger_answers

if TYPE_CHECKING:
    from ringproof.plivo.client import PlivoClient, Sent


CONNECT_SECONDS: Final = 0.5
"""How long before its slot a send checks that the slot still counts, and connects: a handshake takes time."""

LATE_SECONDS: Final = 0.005
"""How late a slot may be used. The spacing of slots allows for 60 ms of jitter: 50 for the network, 10 for us. Of these
10, 5 remain for the way from the final check to the socket. Measured at 300/5s, that way takes 0.1 ms in the median and
3.7 ms at 99.9 %; one of 17,845 took longer than 5 ms.
"""

_log = logging.getLogger(__name__)


class SlotMissed(RingproofError):
    """The next slot is too far away to keep a connection open for it; nothing was sent."""


class SlotRevoked(Exception):
    """The number is queued again, because a pause or another pace has come before its slot; nothing was sent."""


def attempt(ledger: Ledger, client: "PlivoClient", begun: Begun, asked_at: float) -> bool:
    """Have Plivo send a code to a number that was begun, and write the result to the ledger.

    `asked_at` is the `boot_clock()` time before begin was called. Returns False if the slot was revoked before
    anything was sent; then begin the number again.

        asked_at = boot_clock()
        (begun,) = ledger.begin([(number, request)], fence=secrets.token_hex(8))
        if begun.verdict is Verdict.BEGUN:
            attempt(ledger, client, begun, asked_at)
    """
    record = begun.record
    assert record is not None  # noqa: S101  # begin has read what it claimed
    # Counted from before the call of begin, so that the lease never looks longer than it is.
    first_byte_until = asked_at + (begun.wait + ledger.durations.first_byte).total_seconds()
    before_first_byte = _FinalCheck(ledger, begun, record, first_byte_until)
    try:
        sent = _send(client, record, before_first_byte)
        outcome = Outcome(
            State.CODE_SENT,
            verification_uuid=sent.verification_uuid,
            api_id=sent.api_id,
            plivo_signal=PlivoSignal.TAKEN,
        )
    except SlotRevoked:
        return False
    except RingproofError as error:
        outcome = outcome_of(error, record.attempts)
    _settle(ledger, begun, record, outcome, before_first_byte.slot)
    return True


class _FinalCheck:
    """Looks at the clock directly before the first byte: waits for the slot, or takes another if it was missed."""

    def __init__(self, ledger: Ledger, begun: Begun, record: Record, first_byte_until: float) -> None:
        self.slot = begun.at
        self._ledger, self._begun, self._record = ledger, begun, record
        self._first_byte_until = first_byte_until

    def wait_to_connect(self) -> None:
        """Wait until shortly before the slot, and have the ledger confirm it: a pause may have begun.

        Raises `SlotRevoked` if the slot no longer counts. Raises `LeaseOver` if the slot comes too late for the
        lease, if the ledger does not answer, or when this worker stops.
        """
        if self.slot > self._first_byte_until:
            raise LeaseOver("no slot within the lease; nothing was sent")
        if self.slot - CONNECT_SECONDS <= boot_clock():
            return
        self._sleep(self.slot - CONNECT_SECONDS)
        record = self._record
        try:
            (again,) = self._ledger.begin([(record.phone_number, record.request)], fence=self._begun.fence)
        except LedgerUnavailable as error:
            raise LeaseOver(error.message) from error
        if again.verdict is not Verdict.BEGUN:
            raise SlotRevoked

    def __call__(self) -> None:
        """Return at the slot, or at a later one if the slot was missed.

        Raises `SlotMissed` if the later slot is far away, and `LeaseOver` if the lease ends or a pause has begun.
        """
        while True:
            self._sleep(self.slot)
            now = boot_clock()
            if now > self._first_byte_until:
                raise LeaseOver("frozen or too slow; nothing was sent")
            if now <= self.slot + LATE_SECONDS:
                return
            try:
                slot = replace_slot(self._ledger, self._record)
            except LedgerUnavailable as error:
                raise LeaseOver(error.message) from error
            if slot is None:
                raise LeaseOver("paused after its slot was missed; nothing was sent")
            self.slot = slot
            if slot > boot_clock() + CONNECT_SECONDS:
                raise SlotMissed

    def _sleep(self, until: float) -> None:
        if not shutdown.sleep_unless_stopping(until - boot_clock()):
            raise LeaseOver("this worker stops")


def _send(client: "PlivoClient", record: Record, before_first_byte: _FinalCheck) -> "Sent":
    """Ask Plivo for a code at the slot. Raises the client's errors, `SlotRevoked` and `LeaseOver`."""
    while True:
        before_first_byte.wait_to_connect()
        try:
            return client.initiate(
                record.phone_number,
                alias=record.alias,
                channel=record.channel,
                subaccount=record.subaccount,
                before_first_byte=before_first_byte,
            )
        except SlotMissed:
            continue


def _settle(ledger: Ledger, begun: Begun, record: Record, outcome: Outcome, slot: float) -> None:
    """Write the outcome to the ledger, and repeat that until it answers: Plivo's answer must survive a Redis outage."""
    answered = boot_clock()

    def settle() -> None:
        ago = timedelta(seconds=boot_clock() - answered)
        ledger.settle(record.phone_number, record.request, begun.fence, outcome, ago=ago)

    until_ledger_answers(settle)
    why = f" ({outcome.reason or outcome.detail})" if outcome.reason or outcome.detail else ""
    took = (answered - slot) * 1000
    _log.info("%s %s %s %.0f ms%s", outcome.state, mask(record.phone_number), record.channel, max(took, 0), why)
