"""The eager mode: Ringproof without Redis, workers and Plivo, in the process of a test.

It is the ledger with its own scripts, the workers' own bodies and the sandbox's own judgement. Redis is an object in
memory, messages are performed by who sends them, and Plivo's client asks the sandbox without a socket. So requests have
the checks, states and errors that they have elsewhere, and a real phone cannot be reached.
"""

import logging
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from ringproof import runtime
from ringproof.testing.environment import PACE, Variables, settings_names
from ringproof.testing.errors import NotEager, NotInstalled
from ringproof.testing.own_modules import own_modules
from ringproof.testing.sent import Sent

if TYPE_CHECKING:
    from ringproof.testing.world import World

LEFT_OUT: Final = ("RINGPROOF_REDIS_", "RINGPROOF_PREFIX", "RINGPROOF_REPLICAS", "RINGPROOF_WEBHOOK_", "PLIVO_")
"""How the variables begin that lead to what this mode does without. All others count: caps, countries, accounts."""

OWN: Final = {
    "RINGPROOF_TEST": "eager",
    "RINGPROOF_REDIS_URL": "redis://127.0.0.1:9/0",
    "RINGPROOF_REPLICAS": "0",
    **PACE,
    "PLIVO_AUTH_ID": "MAEAGER0000000000000",
    "PLIVO_AUTH_TOKEN": "eager",
    "PLIVO_BASE_URL": "http://127.0.0.1:9/v1",
}
"""The variables of this mode. Nothing listens at these addresses: a program that a test starts reaches nobody."""

NEEDED: Final = ("fakeredis", "lupa", "starlette")
"""What the extra `testing` brings, and this mode cannot do without."""

WORLD: Final = "ringproof.testing.world"
SERVICE: Final = "worker.celery"

_log = logging.getLogger(__name__)

_lock = threading.RLock()
_worlds: list["World"] = []
"""The worlds that have begun and not ended. The last one is used."""

_lasting: "World | None" = None
"""The one of them that RINGPROOF_TEST has begun."""


@contextmanager
def eager() -> Iterator[Sent]:
    """Do without Redis, a worker and Plivo within the block: requests are performed at once, and nothing is sent.

        with eager() as sent:
            verification = initiate_verification.delay("+14155550123")
            confirm_verification.delay("+14155550123", sent[-1].code, request=verification.id).get()
            assert is_verified("+14155550123")

    Each block begins with an empty ledger, empty phones and the present time. The variables `RINGPROOF_…` of this
    process apply, except those of Redis, of webhooks and of the pace. It is for all threads of this process.
    Raises `NotInstalled` without the extra `testing`.
    """
    world = _new_world()
    with _lock:
        world.environment.use()
        _worlds.append(world)
    try:
        yield world.sent
    finally:
        with _lock:
            _end(world)


def _end(world: "World") -> None:
    """End a world. If one that began later is still used, as in another thread, that one stays."""
    above = _worlds[_worlds.index(world) + 1 :]
    if above:
        world.environment.leave_below(above[0].environment)
    else:
        world.environment.forget()
        world.environment.leave()
    _worlds.remove(world)


def sent_codes() -> Sent:
    """Return the codes that were sent in the eager mode. Raises `NotEager` if this process is not in it."""
    runtime.current_origin()  # RINGPROOF_TEST begins it
    if not _worlds:
        raise NotEager
    return _worlds[-1].sent


def begin() -> None:
    """Begin the eager mode for as long as this process lives."""
    with _lock:
        if runtime.origin is None:
            _log.warning("the eager mode of tests is used: no code is sent to a real phone")
            _begin()


def start_again() -> None:
    """Begin a new world in the place of the one that `begin` has begun, if it has: so each test gets an empty one."""
    with _lock:
        if end():
            _begin()


def end() -> bool:
    """End what `begin` has begun; return whether it had."""
    global _lasting  # noqa: PLW0603  # one a process
    with _lock:
        world = _lasting
        if world is None or not world.environment.is_used:
            return False
        world.environment.forget()
        world.environment.leave()
        _worlds.remove(world)
        _lasting = None
        return True


def _begin() -> None:
    global _lasting  # noqa: PLW0603  # one a process
    _lasting = _new_world()
    _lasting.environment.use()
    _worlds.append(_lasting)


def _new_world() -> "World":
    variables = {name: os.environ[name] for name in settings_names() if name in os.environ}
    own = {name: value for name, value in variables.items() if not name.startswith(LEFT_OUT)} | OWN
    with _lock:
        world: World = _world_class(own)(own)
        return world


def _world_class(own: Mapping[str, str]) -> Any:
    """Load what workers run. Afterwards this process is as it was: the program's own, and no worker."""
    if WORLD in sys.modules:
        return sys.modules[WORLD].World
    for package in NEEDED:
        if find_spec(package) is None:
            raise NotInstalled(package)
    from ringproof.celery.app import app  # noqa: PLC0415  # an application may never use this mode

    before, role = runtime.origin, runtime.role
    runtime.origin = runtime.Origin(Variables(own))  # the loading reads the settings
    try:
        with own_modules():
            is_worker = SERVICE in sys.modules
            world_class = import_module(WORLD).World
            if not is_worker:
                app.is_service, runtime.role = False, role
                del app.read_settings, app.log_cls
    finally:
        runtime.origin = before
    return world_class
