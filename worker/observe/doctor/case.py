"""The installation that is examined: its environment, and what the checks have learned so far."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Self

from ringproof.errors import Misconfigured
from ringproof.ledger.connection import connect
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.role import Role
from ringproof.secret_str import SecretStr
from ringproof.settings import Settings
from worker.observe.facts import Facts
from worker.observe.finding import Finding

OF_A_WORKER: Final = ("PLIVO_AUTH_ID", "PLIVO_AUTH_TOKEN", "PLIVO_AUTH_TOKEN_FILE")
"""One of these is set where a worker runs, and none where only web apps and people are."""

OF_REDIS: Final = ("redis_url", "prefix")
"""The settings that reach the ledger. They can be right where another one is wrong."""


@dataclass(slots=True)
class Case:
    """What is known of an installation. The checks run in their order, and each may add to it.

    `settings` is None if the environment is wrong, and `problems` says how. `redis_url` and `ledger` are None if that
    concerns Redis.
    """

    environ: Mapping[str, str]
    is_worker: bool
    settings: Settings | None = None
    problems: tuple[str, ...] = ()
    redis_url: SecretStr | None = None
    ledger: Ledger | None = None
    answers: bool = False  # Redis
    facts: Facts | None = None
    findings: list[Finding] = field(default_factory=list)
    redis_ahead: timedelta | None = None  # of this machine's clock
    plivo_ahead: timedelta | None = None

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Self:
        """Read an environment, as far as it can be read. Raises nothing, and connects to nobody."""
        is_worker = any(environ.get(name, "").strip() for name in OF_A_WORKER)
        case = cls(environ, is_worker)
        try:
            case.settings = of_redis = Settings.read(environ, worker=is_worker)
        except Misconfigured as error:
            case.problems = error.problems
            try:
                of_redis = Settings.read(environ, only=OF_REDIS)
            except Misconfigured:
                return case
        case.redis_url = of_redis.redis_url
        case.ledger = Ledger(
            connect(of_redis.redis_url.get_secret_value()),
            prefix=of_redis.prefix,
            shown_url=of_redis.shown_redis_url,
            policy=of_redis.policy,
            role=Role.OPERATOR,
        )
        return case


def least_ahead(earliest: timedelta, latest: timedelta) -> timedelta:
    """Return by how much a clock that is ahead by `earliest` to `latest` differs at least: a slow answer is no fault.

    >>> least_ahead(timedelta(seconds=-3), timedelta(seconds=1))
    datetime.timedelta(0)
    """
    return max(earliest, min(timedelta(), latest))


def settings_of(case: Case) -> Settings:
    """Return the settings, for a check that `needs_settings`."""
    assert case.settings is not None  # noqa: S101  # what the check needs
    return case.settings


def ledger_of(case: Case) -> Ledger:
    """Return the ledger, for a check that `needs_redis`."""
    assert case.ledger is not None  # noqa: S101  # what the check needs
    return case.ledger


def facts_of(case: Case) -> Facts:
    """Return the facts, for a check that `needs_facts`, or more than that."""
    assert case.facts is not None  # noqa: S101  # what the check needs
    return case.facts


def needs_settings(case: Case) -> str:
    """Return what is missing for a check that goes by the settings."""
    return "" if case.settings else "the settings are wrong; correct them first"


def needs_address(case: Case) -> str:
    """Return what is missing for a check that goes by the address of Redis."""
    return "" if case.redis_url else "the address of Redis is wrong; correct it first"


def needs_redis(case: Case) -> str:
    """Return what is missing for a check that asks Redis."""
    return needs_address(case) or ("" if case.answers else "Redis does not answer")


def needs_info(case: Case) -> str:
    """Return what is missing for a check that goes by Redis' INFO."""
    if case.facts is None:
        return needs_redis(case) or "the facts in Redis cannot be read"
    return "" if case.facts.info else "Redis forbids INFO to this user; allow it: +info"


def needs_facts(case: Case) -> str:
    """Return what is missing for a check of what workers say of themselves: a full Redis takes no heartbeats."""
    if case.facts is None:
        return needs_redis(case) or "the facts in Redis cannot be read"
    return "Redis refuses writes, so that workers can say nothing of themselves" if case.facts.refusal else ""


def needs_workers(case: Case) -> str:
    """Return what is missing for a check of the workers that run."""
    if reason := needs_facts(case):
        return reason
    return "" if case.facts and case.facts.workers else "no worker takes messages"
