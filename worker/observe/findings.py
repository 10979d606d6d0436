"""What is wrong, in a sentence each, and what to do: the status, the healthcheck and the alerts say the same."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from worker.observe.facts import Facts
from worker.observe.finding import Code, Finding, Severity
from worker.observe.redis_findings import far, redis_away, refuses, replicas_missing, went_back
from worker.observe.sending_findings import closed, pauses, refused_hosts, unreachable
from worker.observe.worker_findings import (
    children_stopped,
    differences,
    lanes_without_worker,
    left_to_newer,
    no_beat,
    nobody,
    not_consumed,
)

__all__ = ["Code", "Finding", "Severity", "findings", "redis_away", "worst_first"]

_CHECKS: Final[tuple[Callable[[Facts], Iterator[Finding]], ...]] = (
    pauses,
    refused_hosts,
    unreachable,
    children_stopped,
    not_consumed,
    no_beat,
    lanes_without_worker,
    went_back,
    closed,
    differences,
    left_to_newer,
    far,
)


def findings(facts: Facts) -> list[Finding]:
    """Return what is wrong, worst first; nothing if all is well.

    A fault is named once, by its cause: where Redis is full, no heartbeat can be written, and nobody is missing.
    """
    if refused := list(refuses(facts)):
        return refused
    if missing := [*nobody(facts), *replicas_missing(facts)]:
        return [*missing, *worst_first([*went_back(facts), *pauses(facts)])]
    return worst_first(one for check in _CHECKS for one in check(facts))


def worst_first(found: Iterable[Finding]) -> list[Finding]:
    """Return the findings, those first that hold most back."""
    order = list(Severity)
    return sorted(found, key=lambda one: order.index(one.severity))
