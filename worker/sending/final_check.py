"""The final check: every request to Plivo looks at the clock directly before its first byte."""

from collections.abc import Callable
from typing import Final

from ringproof.clock import boot_clock
from ringproof.errors import LeaseOver, RingproofError
from worker.celery import shutdown

CONNECT_SECONDS: Final = 0.5
"""How long before its slot a request connects: a handshake takes time. A send also checks that its slot still counts.
"""

LATE_SECONDS: Final = 0.005
"""How late a slot may be used. The spacing of slots allows for 60 ms of jitter: 50 for the network, 10 for us. Of these
10, 5 remain for the way from the final check to the socket. Measured at 300/5s, that way takes 0.1 ms in the median and
3.7 ms at 99.9 %; one of 17,845 took longer than 5 ms.
"""


class SlotMissed(RingproofError):
    """The next slot is too far away to keep a connection open for it; nothing was sent."""


class FinalCheck:
    """Has one request begin at its slot, or at a later one if it has missed its own.

    `slot` and `until` are moments of this process's `boot_clock()`: nothing is sent after `until`. `replace` reserves
    another slot. What it raises ends the request, and nothing was sent. `passed_at` is when the request could begin.

        check = FinalCheck(slot, slot + 20, partial(reserve_slot, ledger))
        check.wait_to_connect()
        client.get("+14155550123", before_first_byte=check)
    """

    def __init__(self, slot: float, until: float, replace: Callable[[], float]) -> None:
        self.slot = slot
        self.passed_at: float | None = None
        self._until, self._replace = until, replace

    def wait_to_connect(self) -> bool:
        """Wait until shortly before the slot; return whether there was a time to wait.

        Raises `LeaseOver` if the slot comes too late, or when this worker stops.
        """
        if self.slot > self._until:
            raise LeaseOver("no slot came in time; nothing was sent")
        if self.slot - CONNECT_SECONDS <= boot_clock():
            return False
        self._sleep(self.slot - CONNECT_SECONDS)
        return True

    def __call__(self) -> None:
        """Return at the slot, or at a later one if the slot was missed.

        Raises `SlotMissed` if the later slot is far away. Raises `LeaseOver` if it is too late for any slot, or when
        this worker stops.
        """
        while True:
            self._sleep(self.slot)
            now = boot_clock()
            if now <= self.slot + LATE_SECONDS:
                self.passed_at = now
                return
            if now > self._until:
                raise LeaseOver("frozen or too slow; nothing was sent")
            self.slot = self._replace()
            if self.slot > boot_clock() + CONNECT_SECONDS:
                raise SlotMissed

    def _sleep(self, until: float) -> None:
        if not shutdown.sleep_unless_stopping(until - boot_clock()):
            raise LeaseOver("this worker stops")
