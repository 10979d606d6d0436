"""How the sandbox's people enter their codes themselves: with `ringproof sandbox --answers … --enter`.

If the environment names a Redis, they enter them through `confirm_verification`, as an application's form does; a
worker then takes them to the sandbox. Without one, the sandbox takes them at once, as if a client of Plivo's had sent
them: no Redis and no worker is needed.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any, Final

import click

from ringproof.errors import LedgerUnavailable, RingproofError
from worker.local.sandbox.misfortune_answers import instead_of_doing
from worker.local.sandbox.state import SandboxState
from worker.plivo_http.answers import RefusalError

LOOK_SECONDS: Final = 0.2
"""How often what is due is looked for: a person's own delay is a second and more."""

AGAIN_SECONDS: Final = 2.0
"""How long a code waits to be entered again while Redis is away."""

Take = Callable[[Mapping[str, Any]], object]
"""Enters one code; it gets an entry of `/sandbox/answers`."""


async def enter_codes(state: SandboxState, take: Take | None = None) -> None:
    """Have each code taken when its time comes, for ever; without `take`, by the sandbox itself."""
    entries, following = state.entries, 0
    while True:
        if entries is not state.entries:  # the sandbox was reset
            entries, following = state.entries, 0
        due, following = entries.since(following, state.clock.now())
        for entry in due:
            (take or partial(_complete, state))(entry)
        await asyncio.sleep(LOOK_SECONDS)


def _complete(state: SandboxState, entry: Mapping[str, Any]) -> None:
    """Complete a verification as a request would, but without one. What befalls a request befalls it, too."""
    arrival = state.arrive("POST", "complete", "the sandbox's people")
    misfortune = state.take_misfortune(arrival, entry["phone_number"])
    if misfortune and instead_of_doing(misfortune, lambda _peer: None):
        return
    with suppress(RefusalError):  # a wrong code, or one that a test has entered
        state.complete(entry["verification_uuid"], entry["code"])


def through_ringproof() -> Take:
    """Return what hands each code to `confirm_verification`. A thread of its own waits for Redis."""
    codes: SimpleQueue[Mapping[str, Any]] = SimpleQueue()
    threading.Thread(target=_confirm, args=(codes,), name="people", daemon=True).start()
    return codes.put


def _confirm(codes: "SimpleQueue[Mapping[str, Any]]") -> None:
    from ringproof import confirm_verification  # noqa: PLC0415  # it loads Celery, which the sandbox does not need

    while True:
        entry, shown = codes.get(), ""
        while True:
            try:
                confirm_verification.delay(entry["phone_number"], entry["code"])
            except LedgerUnavailable as error:
                if error.message != shown:
                    shown = error.message
                    click.echo(f"people wait to enter their codes: {shown}", err=True)
                time.sleep(AGAIN_SECONDS)
                continue
            except RingproofError as error:
                click.echo(f"a person could not enter a code: {error.message}", err=True)
            break
