"""The Sentinels: that they can be reached, know the service, agree on its master, and can have a replica take over."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

import redis

from ringproof.ledger.sentinels import Address, ask, cause_of_sentinel, client_of
from ringproof.network.redis_url import has_sentinels
from ringproof.network.sentinel_url import SentinelUrl
from worker.observe.doctor.case import Case
from worker.observe.doctor.check import Line, failed, ok, warning

ENOUGH: Final = 3
"""With two Sentinels, none is left to agree once one is away with its machine."""


RIGHTS: Final = "+sentinel|master +sentinel|masters +sentinel|replicas +sentinel|ckquorum"


@dataclass(frozen=True, slots=True)
class _Answer:
    """What one Sentinel says of the service."""

    name: str
    problem: str = ""
    """Why it cannot be asked."""
    remedy: str = "start it, or correct its address in RINGPROOF_REDIS_URL"
    knows: str | None = None
    """The services that it knows, if the one that is asked for is none of them."""
    master: Mapping[str, str] = field(default_factory=dict)
    replicas: tuple[Mapping[str, str], ...] = ()
    quorum: str = ""
    """Why a replica cannot take over now; "" if it can."""

    @property
    def address(self) -> str:
        return _address(self.master)


def sentinels(case: Case) -> Iterator[Line]:
    """Check that the Sentinels answer, agree on the master, and that enough of them and a replica are there."""
    assert case.redis_url is not None  # noqa: S101  # what the check needs
    url = case.redis_url.get_secret_value()
    if not has_sentinels(url):
        yield ok("the address of Redis is its own, and no Sentinel's")
        return
    given = SentinelUrl.parse(url)
    with ThreadPoolExecutor(len(given.sentinels)) as at_once:
        answers = list(at_once.map(lambda one: _asked(given, one), given.sentinels))
    knowing = [one for one in answers if one.master]
    say = warning if knowing else failed
    for one in answers:
        if one.problem:
            yield say(f"the Sentinel {one.name} cannot be asked: {one.problem}", one.remedy)
        elif one.knows is not None:
            known = f"; it knows {one.knows}" if one.knows else ""
            yield say(
                f"the Sentinel {one.name} knows no service {given.service}{known}",
                "correct the name in RINGPROOF_REDIS_URL, or add it there: SENTINEL MONITOR",
            )
    if not knowing:
        return
    yield from _of_few(given, knowing[0])
    yield from _of_failover(knowing)
    first = knowing[0]
    replicas = ", ".join(map(_address, first.replicas))
    agree = first.master.get("quorum")
    yield ok(
        f"{len(knowing)} of {len(answers)} Sentinels name {first.address} the master of {given.service}, with the "
        f"replica{'' if len(first.replicas) == 1 else 's'} {replicas}; {agree} of them must agree before one takes over"
    )


def _of_few(given: SentinelUrl, one: _Answer) -> Iterator[Line]:
    there = int(one.master.get("num-other-sentinels", 0)) + 1
    if there < ENOUGH:
        yield warning(
            f"{there} Sentinel{' watches' if there == 1 else 's watch'} {given.service}: if a machine fails, too few "
            "may be left to agree",
            f"run {ENOUGH}, each on a machine of its own",
        )
    if len(given.sentinels) == 1 < there:
        yield warning(
            f"RINGPROOF_REDIS_URL names one Sentinel of {there}: while it is away, nobody finds the master",
            "name all of them, with commas between",
        )


def _of_failover(answers: list[_Answer]) -> Iterator[Line]:
    """Say what prevents or disturbs a failover."""
    addresses = sorted({one.address for one in answers})
    if len(addresses) > 1:
        yield warning(
            f"the Sentinels name several masters: {', '.join(addresses)}",
            "try again in 10 s; if it stays so, see their logs and the network between them",
        )
    first = answers[0]
    if "down" in first.master.get("flags", ""):
        yield failed(
            f"the Sentinels say that {first.address} is down ({first.master['flags']})",
            "wait for the failover; if none comes, see their logs",
        )
    elif first.quorum:
        yield failed(f"no replica can take over: {first.quorum}", "bring the missing Sentinels back")
    usable = [one for one in first.replicas if not _trouble(one)]
    for one in first.replicas:
        if trouble := _trouble(one):
            yield warning(f"the Sentinels say that the replica {_address(one)} {trouble}", "see its log")
    if not usable:
        yield warning(f"no replica of {first.address} can take over", "run one: docs/operating/redis.md#sentinel")


def _trouble(replica: Mapping[str, str]) -> str:
    if "down" in replica.get("flags", "") or "disconnected" in replica.get("flags", ""):
        return f"is down ({replica['flags']})"
    if replica.get("master-link-status", "ok") != "ok":
        return "is not connected to the master"
    return "may never take over (replica-priority 0)" if replica.get("slave-priority") == "0" else ""


def _asked(url: SentinelUrl, where: Address) -> _Answer:
    """Ask one Sentinel. Raises nothing."""
    host, port = where
    name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    with client_of(url, host, port) as client:
        try:
            return _answer_of(client, url.service, name)
        except redis.exceptions.NoPermissionError:
            return _Answer(name, "its user may not ask all that is checked here", f"allow it there: {RIGHTS}")
        except redis.AuthenticationError as error:
            return _Answer(name, cause_of_sentinel(error), "correct sentinel_password in RINGPROOF_REDIS_URL")
        except redis.RedisError as error:
            return _Answer(name, cause_of_sentinel(error))


def _answer_of(client: redis.Redis, service: str, name: str) -> _Answer:
    try:
        master = _pairs(ask(client, "MASTER", service))
    except redis.ResponseError as error:
        if "no such master" not in str(error).lower():
            raise
        known = ", ".join(sorted(_pairs(one)["name"] for one in ask(client, "MASTERS")))
        return _Answer(name, knows=known)
    replicas = tuple(map(_pairs, ask(client, "REPLICAS", service)))
    try:
        ask(client, "CKQUORUM", service)
    except redis.ResponseError as error:
        return _Answer(name, master=master, replicas=replicas, quorum=str(error))
    return _Answer(name, master=master, replicas=replicas)


def _pairs(flat: Any) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _address(server: Mapping[str, str]) -> str:
    return f"{server.get('ip')}:{server.get('port')}"
