"""What happens while the demo's batch is being sent: each incident waits for its moment and happens once.

The demo calls each incident whenever it has read the batch. An incident returns None until its moment comes, and then
the line to print.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

from celery.exceptions import TimeoutError as CeleryTimeoutError

from ringproof import runtime
from ringproof.batches.model import Batch
from ringproof.batches.summary import batch_summary
from ringproof.errors import UnknownBatch
from ringproof.phone.masking import mask
from ringproof.rosters.row import Row
from tasks import initiate_verification
from worker.local.demo.environment import Environment

Incident = Callable[[Batch], str | None]

PERSON: Final = "+14155550100"
"""A number that is not in the roster."""

CODES_BEFORE_THE_PERSON: Final = 40
"""By then, the half second of slots is used up that bulk has reserved while Plivo's first window was closed."""

PATIENCE_SECONDS: Final = 10.0


def person_asks(environment: Environment) -> Incident:
    """Return the incident in which a person asks for a code while bulk is being sent."""

    def ask(batch: Batch) -> str | None:
        if batch.outcomes.get("code_sent", 0) < CODES_BEFORE_THE_PERSON:
            return None
        started_at = time.monotonic()
        try:
            initiate_verification.delay(PERSON).get(timeout=PATIENCE_SECONDS)
        except CeleryTimeoutError:
            raise environment.worker.failed(f"a person's code was not sent in {PATIENCE_SECONDS:.0f} s") from None
        took_ms = (time.monotonic() - started_at) * 1000
        return f"[cyan]a person asked meanwhile[/]: {took_ms:.0f} ms from initiate_verification.delay to code_sent"

    return ask


class WorkerIsKilled:
    """The incident in which the worker is killed while it sends to the victim, and started again.

    The sandbox sends the victim's code and never answers, so that the worker is still waiting when it is killed.
    `lost` is then how many rows the worker was sending: nobody will tell what became of them.
    """

    def __init__(self, environment: Environment, victim: str) -> None:
        self.lost = 0
        self._environment, self._victim = environment, victim
        environment.call_sandbox("misfortunes", {"kind": "timeout_after", "number": victim})

    def __call__(self, batch: Batch) -> str | None:
        """Kill the worker once Plivo has sent the victim's code. Raises `UnknownBatch` or `ChildProcessFailed`."""
        if not self._environment.codes_sent(self._victim):
            return None
        worker = self._environment.worker
        killed = worker.pid
        worker.kill()
        self.lost = read_batch(batch.name).outcomes.get("sending", 0)
        worker.start()
        back_after = runtime.ledger().durations.enqueue_again.total_seconds()
        return (
            f"[red]kill -9 {killed}[/]: the worker, while it sends to {mask(self._victim)}; Plivo has sent that code\n"
            f"(a supervisor starts it again; what it had in hand comes back after {back_after:.0f} s)"
        )


def read_batch(name: str) -> Batch:
    """Return the batch as it is now. Raises `UnknownBatch`."""
    batch = batch_summary(runtime.ledger(), name)
    if batch is None:
        raise UnknownBatch(name)
    return batch


def choose_victim(rows: Iterable[Row]) -> str:
    """Return the number whose worker will be killed: a text from the middle, whose masked form no other number has."""
    channels = {row.number.e164: row.channel for row in rows}
    masks = Counter(map(mask, channels))
    candidates = [number for number, channel in channels.items() if channel == "sms" and masks[mask(number)] == 1]
    return candidates[len(candidates) // 2]
