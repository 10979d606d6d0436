"""Whether this process is to do without Redis and Plivo, because it tests a program: `RINGPROOF_TEST`."""

import sys
from collections.abc import Mapping
from typing import Final

from ringproof.errors import Misconfigured

VARIABLE: Final = "RINGPROOF_TEST"
EAGER: Final = "eager"
REAL: Final = "real"
SERVICE: Final = "worker.celery"
"""What workers load. It reads the settings while it is loaded."""

VALUES: Final = f"{EAGER}: no Redis, no worker, and nothing is sent; or {REAL}: always the real ones"


def check(text: str) -> str:
    """Return a value of the variable. Raises ValueError for any other text.

    >>> check(" Eager ")
    'eager'
    """
    word = text.strip().lower()
    if word not in {EAGER, REAL}:
        raise ValueError(VALUES)
    return word


def is_eager(environ: Mapping[str, str]) -> bool:
    """Whether the environment asks for the eager mode, or if it asks for nothing, the program's own Celery does.

    A program whose Celery has `task_always_eager` wants its tests to have no effect elsewhere. It counts in a test run
    only: a small installation may have it in production, where codes are to be sent. Raises `Misconfigured`.
    """
    if _is_loading(SERVICE):
        return False  # this mode loads it itself
    text = environ.get(VARIABLE, "")
    if not text.strip():
        return _is_test_run(environ) and _is_always_eager()
    try:
        return check(text) == EAGER
    except ValueError as error:
        raise Misconfigured(f"{VARIABLE}: {error}") from None


def refuse_in_service(environ: Mapping[str, str]) -> None:
    """Raise `Misconfigured` if the environment asks for the eager mode, where only the real parts make sense."""
    if environ.get(VARIABLE, "").strip().lower() == EAGER:
        raise Misconfigured(f"{VARIABLE}: {EAGER} is for the tests of a program; unset it for workers and commands")


def _is_test_run(environ: Mapping[str, str]) -> bool:
    """Whether pytest runs a test, or Django's test runner has prepared this process."""
    return "PYTEST_CURRENT_TEST" in environ or hasattr(sys.modules.get("django.core.mail"), "outbox")


def _is_loading(name: str) -> bool:
    module = sys.modules.get(name)
    return module is not None and getattr(module.__spec__, "_initializing", False)


def _is_always_eager() -> bool:
    """Whether the program's own Celery performs its tasks at once. One that is not there yet is not made."""
    state = sys.modules.get("celery._state")
    app = state and (state._tls.current_app or state.default_app)  # noqa: SLF001  # `current_app` would make one
    return bool(app and app.conf.task_always_eager)
