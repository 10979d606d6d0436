"""The examination: all checks in groups, each group within its time."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from worker.observe.doctor import accounts, environment, plivo, redis_server, sentinels, workers
from worker.observe.doctor.case import (
    Case,
    needs_address,
    needs_facts,
    needs_info,
    needs_redis,
    needs_settings,
    needs_workers,
)
from worker.observe.doctor.check import Check, Line, Result, failed
from worker.observe.finding import Code


@dataclass(frozen=True, slots=True)
class Group:
    """Checks of one subject, one after the other, within so many seconds."""

    name: str
    seconds: float
    checks: Sequence[Check]


ENVIRONMENT: Final = Group(
    "this environment",
    7,
    (Check("settings", environment.settings), Check("libraries", environment.libraries)),
)

REDIS: Final = Group(
    "Redis",
    7,
    (
        Check("redis_sentinels", sentinels.sentinels, needs_address),
        Check("redis", redis_server.answers, codes=(Code.REDIS_AWAY,)),
        Check("redis_rights", redis_server.rights, needs_redis),
        Check("redis_version", redis_server.version, needs_info),
        Check("redis_exposure", redis_server.exposure, needs_redis),
        Check(
            "redis_writes",
            redis_server.writes,
            needs_info,
            codes=(Code.REDIS_FULL, Code.REDIS_READ_ONLY),
        ),
        Check("redis_memory", redis_server.memory, needs_info),
        Check("redis_disk", redis_server.disk, needs_info),
        Check("redis_history", redis_server.history, needs_facts, codes=(Code.WENT_BACK,)),
        Check("redis_replicas", redis_server.replicas, needs_info, codes=(Code.REPLICAS_MISSING,)),
        Check("redis_distance", redis_server.distance, needs_redis, codes=(Code.REDIS_FAR,)),
    ),
)

WAY: Final = Group("Plivo", 6, (Check("plivo_way", plivo.way, needs_settings),))

WORKERS: Final = Group(
    "workers",
    6,
    (
        Check(
            "workers",
            workers.workers,
            needs_facts,
            codes=(Code.NO_WORKER, Code.OTHER_PREFIX, Code.LANE_WITHOUT_WORKER, Code.VERSIONS_DIFFER),
        ),
        Check("beat", workers.beat, needs_facts, codes=(Code.NO_BEAT,)),
        Check("ping", workers.ping, needs_workers),
        Check(
            "consumed",
            workers.consumed,
            needs_workers,
            codes=(Code.CHILDREN_STOPPED, Code.NOT_CONSUMED),
        ),
        Check("queues", workers.queues, needs_redis),
        Check(
            "sending",
            workers.sending,
            needs_facts,
            codes=(
                *(Code.PAUSED, Code.CLOSED, Code.DOUBTS, Code.CREDENTIALS_REFUSED, Code.ACCOUNT_REFUSED),
                Code.PLIVO_UNREACHABLE,
            ),
        ),
        Check("accounts", workers.accounts, needs_workers, codes=(Code.ACCOUNTS_DIFFER,)),
        Check("policy", workers.policy, needs_workers, codes=(Code.POLICIES_DIFFER,)),
        Check("events", workers.events, needs_facts),
    ),
)

PLIVO: Final = Group(
    "Plivo",
    12,
    (Check("plivo_credentials", plivo.credentials, plivo.needs_credentials), Check("clocks", plivo.clocks)),
)

ACCOUNTS: Final = Group(
    "accounts",
    accounts.DOCTOR_SECONDS,
    (
        Check("accounts_source", accounts.source, codes=(Code.ACCOUNTS_WRONG,)),
        Check("accounts_tried", accounts.tried, accounts.needs_accounts, codes=(Code.ACCOUNT_AWAY,)),
    ),
)
"""Left out where there is one account."""

GROUPS: Final = (ENVIRONMENT, REDIS, WORKERS, WAY, PLIVO, ACCOUNTS)


def examine(environ: Mapping[str, str]) -> Iterator[tuple[str, list[Line]]]:
    """Examine an installation from here. Yield the name of each group with its lines, as soon as they are known.

    It changes nothing, but for one slot of the pace that its question to Plivo takes. It raises nothing, and ends
    within 19 s also if Redis and Plivo hang: a group whose time is over has failed where it stands.
    """
    case = Case.of(environ)
    here, redis, way = _run_at_once(case, ENVIRONMENT, REDIS, WAY)
    yield ENVIRONMENT.name, here
    yield REDIS.name, redis
    others = (ACCOUNTS,) if environ.get("RINGPROOF_ACCOUNTS", "").strip() else ()
    fleet, asked, *of_accounts = _run_at_once(case, WORKERS, PLIVO, *others)
    yield WORKERS.name, fleet
    yield PLIVO.name, [*way, *asked]
    for lines in of_accounts:
        yield ACCOUNTS.name, lines


def _run_at_once(case: Case, *groups: Group) -> list[list[Line]]:
    """Run groups beside one another, and return the lines of each."""
    began = time.monotonic()
    running = [_Running(case, group) for group in groups]
    return [one.lines(began + one.group.seconds - time.monotonic()) for one in running]


class _Running:
    """A group that runs in a thread. Nobody waits for it after its time: a look-up of a name may take minutes."""

    def __init__(self, case: Case, group: Group) -> None:
        self.group = group
        self._done: list[list[Line]] = []
        self._thread = threading.Thread(target=self._run, args=(case,), name=f"doctor: {group.name}", daemon=True)
        self._thread.start()

    def _run(self, case: Case) -> None:
        for check in self.group.checks:
            self._done.append(check.run(case))

    def lines(self, seconds: float) -> list[Line]:
        """Wait for so many seconds, and return the lines of each check."""
        self._thread.join(max(0.0, seconds))
        done = list(self._done)
        lines = [line for of_check in done for line in of_check]
        late = self.group.checks[len(done) :]
        if late:
            hung = f"it did not end within {self.group.seconds:.0f} s"
            lines.append(replace(failed(hung, "try again; if it stays so, see the network"), check=late[0].name))
        reason = f"{late[0].name} did not end before it" if late else ""
        return lines + [Line(Result.NOT_TRIED, reason, check=check.name) for check in late[1:]]
