"""Which numbers are in their quiet hours at the moment, by the clock of Redis."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from ringproof.clock import boot_clock
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.policy import quiet_hours
from ringproof.ledger.record import Lane
from worker.sending.retry import until_ledger_answers

if TYPE_CHECKING:
    from ringproof.phone.quiet_hours import QuietHours

READ_SECONDS: Final = 5.0
"""How often the quiet hours are read again. Between, no call of Redis takes time from the pace."""


class QuietNumbers:
    """Says which numbers of a lane are in their quiet hours. One thread uses it.

    quiet = QuietNumbers(ledger, Lane.BULK)
    quiet.among([("+14155550123", 1764374400)])  # {"+14155550123": datetime(2026, 5, 4, 15, 0, tzinfo=UTC)}
    """

    def __init__(self, ledger: Ledger, lane: Lane) -> None:
        self._ledger, self._lane = ledger, lane
        self._read_at = float("-inf")
        self._hours: QuietHours | None = None
        self._then: datetime | None = None

    def among(self, requests: Sequence[tuple[str, int]]) -> Mapping[str, datetime]:
        """Return the numbers that are in their quiet hours now, each with the end of them.

        The result is empty for the interactive lane, and where no quiet hours are set. Raises `LedgerUnavailable` if
        this worker stops while the ledger does not answer.
        """
        if self._lane is Lane.INTERACTIVE:
            return {}
        if boot_clock() - self._read_at >= READ_SECONDS:
            self._read()
        if self._hours is None or self._then is None:
            return {}
        now = self._then + timedelta(seconds=boot_clock() - self._read_at)
        ends = ((number, self._hours.until(number, now)) for number, _ in requests)
        return {number: end for number, end in ends if end}

    def _read(self) -> None:
        self._hours = until_ledger_answers(lambda: quiet_hours(self._ledger), ends_with_worker=True)
        if self._hours is not None:
            self._then = until_ledger_answers(self._ledger.now, ends_with_worker=True)
        self._read_at = boot_clock()
