"""What the process of the tests uses while a test lasts: the installation of the tests, and no other."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from ringproof import runtime
from ringproof.errors import InvalidRequest
from ringproof.settings import Settings

KEPT: Final = frozenset({"REDIS_URL", "RINGPROOF_REGION", "RINGPROOF_LOG_FORMAT"})
"""Variables that stay as they are. REDIS_URL may be the program's own; Ringproof's Redis has a name that goes first."""

PACE: Final = {"RINGPROOF_RATE": "1000/0.001s", "RINGPROOF_CALL_RATE": "1000/0.001s"}
"""No test waits for a slot, nor for the first window on a new Redis, which is as long as the rate's."""

LIMITS: Final = frozenset(
    (
        *("RINGPROOF_RATE", "RINGPROOF_CALL_RATE", "RINGPROOF_RESEND_COOLDOWN_SECONDS", "RINGPROOF_MAX_CODES_PER_DAY"),
        *("RINGPROOF_MAX_CALLS_PER_WEEK", "RINGPROOF_RANGE_CODES_PER_HOUR", "RINGPROOF_MAX_WRONG_CODES"),
        *("RINGPROOF_COUNTRY_CODES_PER_HOUR", "RINGPROOF_PEOPLE_CODES_PER_DAY", "RINGPROOF_REQUESTER_CODES_PER_HOUR"),
        *("RINGPROOF_REQUESTER_CODES_PER_DAY", "RINGPROOF_BREAKER_PERCENT", "RINGPROOF_BREAKER_CODES"),
        *("RINGPROOF_COUNTRIES", "RINGPROOF_QUIET_HOURS", "RINGPROOF_REVERIFY_AFTER_DAYS", "RINGPROOF_REVERIFY_MODE"),
        "RINGPROOF_RECORD_DAYS",
    )
)
"""The settings that workers publish in Redis: a test can change them while a worker runs."""

APPLICATION: Final = "ringproof.celery.app"


class Variables(Mapping[str, str]):
    """The environment as Ringproof sees it in a test: the installation's own variables come first.

    Those that it has not set are not there, even if the program loads a `.env` in the middle of a test.
    """

    def __init__(self, own: Mapping[str, str]) -> None:
        self._own = own
        self._hidden = settings_names()

    def __getitem__(self, name: str) -> str:
        if name in self._own:
            return self._own[name]
        if name in self._hidden:
            raise KeyError(name)
        return os.environ[name]

    def __iter__(self) -> Iterator[str]:
        return iter((os.environ.keys() - self._hidden) | self._own.keys())

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Environment:
    """The environment of this process in a test: os.environ, the runtime, and Ringproof's Celery application."""

    def __init__(self, own: Mapping[str, str], lua_clock: str, **parts: Callable[..., Any]) -> None:
        self._usual = own
        self._own = dict(own)  # with what one test changes
        self._origin = runtime.Origin(Variables(self._own), lua_clock, **parts)
        self._before: tuple[Mapping[str, str], runtime.Origin | None] = ({}, None)

    @contextmanager
    def used(self) -> Iterator[None]:
        """Use it for as long as the block lasts. After it everything is as it was."""
        self.use()
        try:
            yield
        finally:
            self.leave()

    def use(self) -> None:
        """Use it from now on, until `leave`."""
        names = settings_names()
        self._before = {name: os.environ[name] for name in names if name in os.environ}, runtime.origin
        _set_environ(names, self._own)
        runtime.origin = self._origin
        _connect_again()

    def leave(self) -> None:
        """Make everything as it was before `use`."""
        variables, runtime.origin = self._before
        _set_environ(settings_names(), variables)
        _connect_again()
        self._own.clear()
        self._own.update(self._usual)

    def leave_below(self, above: "Environment") -> None:
        """Leave while `above` is used, which began later: it makes everything as it was before this one."""
        above._before = self._before  # noqa: SLF001  # of the same class

    @property
    def is_used(self) -> bool:
        """Whether it is used now."""
        return runtime.origin is self._origin

    def change(self, variables: Mapping[str, str]) -> None:
        """Set limits for the rest of the test. Raises `InvalidRequest` for another setting, and `Misconfigured`."""
        for name in variables.keys() - LIMITS:
            raise InvalidRequest("settings", name, f"a test can change {', '.join(sorted(LIMITS))}")
        policy = Settings.read({**PACE, **self._own, **variables}).policy
        self._own.update(variables)
        os.environ.update(variables)
        runtime.ledger().publish_policy(policy)

    def forget(self) -> None:
        """Forget what this process remembers of the requests of a test. Called while the environment is used."""
        runtime.ledger().last_accepts.forget()


def settings_names() -> frozenset[str]:
    """Return the names of the variables that are the installation's own in a test."""
    return frozenset(Settings.variables()) - KEPT


def _set_environ(names: frozenset[str], values: Mapping[str, str]) -> None:
    for name in names:
        os.environ.pop(name, None)
    os.environ.update(values)


def _connect_again() -> None:
    """Have the Celery application read its settings again, if the program has loaded it."""
    if module := sys.modules.get(APPLICATION):
        module.app.read_settings_again()
