"""What happens while the demo's batch is being sent to: each act waits for its moment, happens once and is told.

An act is called at each look at the batch, and returns None until its moment came, and then what there is to tell.
"""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

from celery.exceptions import TimeoutError as CeleryTimeoutError

from ringproof.batches.model import Batch
from ringproof.phone.masking import mask
from ringproof.rosters.row import Row
from tasks import initiate_verification
from worker.local.demo.environment import Environment

Act = Callable[[Batch], str | None]

PERSON: Final = "+14155550100"
"""A number that is not in the roster."""

IN_FULL_SWING: Final = 40
"""So many codes sent: past the half second of slots that bulk booked while Plivo's first window was closed."""

PATIENCE_SECONDS: Final = 10.0


def person_asks(environment: Environment) -> Act:
    """Have a person ask for a code beside the bulk."""

    def ask(seen: Batch) -> str | None:
        if seen.outcomes.get("code_sent", 0) < IN_FULL_SWING:
            return None
        began = time.monotonic()
        try:
            initiate_verification.delay(PERSON).get(timeout=PATIENCE_SECONDS)
        except CeleryTimeoutError:
            raise environment.worker.failed(f"a person's code was not sent in {PATIENCE_SECONDS:.0f} s") from None
        took = (time.monotonic() - began) * 1000
        return f"[cyan]a person asked meanwhile[/]: {took:.0f} ms from initiate_verification.delay to code_sent"

    return ask


def child_is_killed(environment: Environment, victim: str) -> Act:
    """Have the worker's child killed that is sending to the victim, whose code Plivo sends without ever answering."""
    environment.ask("misfortunes", {"kind": "timeout_after", "number": victim})

    def kill(_: Batch) -> str | None:
        if not environment.sends(victim) or not (child := environment.child_with(victim)):
            return None
        os.kill(child, signal.SIGKILL)
        whom = f"a worker's child, in the midst of sending to {mask(victim)}, which Plivo has taken"
        return f"[red]kill -9 {child}[/]: {whom}"

    return kill


def choose_victim(rows: Iterable[Row]) -> str:
    """Return the number whose worker will die: a text from the middle, masked as no other number of the roster."""
    channels = {row.number.e164: row.channel for row in rows}
    masks = Counter(map(mask, channels))
    alone = [number for number, channel in channels.items() if channel == "sms" and masks[mask(number)] == 1]
    return alone[len(alone) // 2]
