"""The values of the metrics, read from Redis at one moment.

All of them come from Redis. So an exporter that restarts loses nothing, and several exporters say the same.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from ringproof import runtime
from ringproof.batches.summary import unfinished_batches
from ringproof.clock import moment
from ringproof.errors import LedgerUnavailable, UnknownAccount
from ringproof.events.delivery_status import deliveries
from ringproof.events.outbox import Consumer
from ringproof.ledger.control import SendingStatus
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.metrics import Count, read_counts
from ringproof.ledger.pauses import PAUSE_KINDS
from ringproof.ledger.record import Lane
from ringproof.ledger.row_outcomes import LISTS
from ringproof.policy import Rate
from worker.observe.accounts import Fleet, read_fleet
from worker.observe.facts import Facts, read_facts
from worker.observe.finding import Code, Finding, Severity
from worker.observe.findings import findings, redis_away
from worker.observe.metric import (
    COUNTERS,
    FINDING,
    HISTOGRAMS,
    METRICS,
    MOST_ACCOUNTS,
    MOST_BATCHES,
    MOST_EVENTS,
    MOST_IN_TROUBLE,
    REDIS_UP,
    Metric,
)

_COUNTRY: Final = re.compile(r"[A-Z]{2}", re.ASCII)
_LIMIT: Final = re.compile(r"[a-z_]{1,40}", re.ASCII)
_BY_NAME: Final = {metric.name: metric for metric in METRICS}


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a metric, with its labels in the order of `Metric.labels`, and then that of the account if any."""

    metric: Metric
    labels: tuple[str, ...]
    value: float


@dataclass(frozen=True, slots=True)
class Buckets:
    """The durations of a histogram with the same labels: how many are not longer than each bound, and their sum."""

    metric: Metric
    labels: tuple[str, ...]
    counts: Sequence[tuple[str, float]]
    sum: float


def read_metrics(ledger: Ledger) -> Iterator[Sample | Buckets]:
    """Yield all values of now, also those of the accounts. If Redis does not answer, yield that. Nothing is raised.

    `ledger` is that of the default account.
    """
    try:
        facts = read_facts(ledger)
        values = [*_of_findings(findings(facts)), *_of_facts(facts), *_of_account(ledger, facts)]
    except LedgerUnavailable as error:
        yield Sample(REDIS_UP, (), 0)
        yield from _of_findings([redis_away(error)])
        return
    yield Sample(REDIS_UP, (), 1)
    yield from values
    yield from _of_fleet(read_fleet(), facts)


def read_account_metrics(name: str, home: Ledger) -> Iterator[Sample | Buckets]:
    """Yield the values of one account, whichever it is. If its Redis does not answer, yield that. Nothing is raised."""
    fleet = read_fleet([name])
    try:
        facts = read_facts(home)
    except LedgerUnavailable as error:
        yield Sample(REDIS_UP, (), 0)
        yield from _of_findings([redis_away(error)])
        return
    yield from _of_fleet(fleet, facts)


def _of_fleet(fleet: Fleet, home: Facts) -> Iterator[Sample | Buckets]:
    """Yield how many accounts there are, what is wrong with each, and all values of the first ones."""
    in_trouble = [one for one in fleet.accounts if one.found]
    at_work = sum(one.is_at_work for one in fleet.accounts)
    for state, count in (("known", len(fleet.accounts)), ("at_work", at_work), ("in_trouble", len(in_trouble))):
        yield _sample("accounts", count, state)
    if fleet.wrong:
        yield Sample(FINDING, (fleet.wrong.code, fleet.wrong.severity), 1)
    for account in in_trouble[:MOST_IN_TROUBLE]:
        for (code, severity), count in Counter((one.code, one.severity) for one in account.found).items():
            yield Sample(FINDING, (code, severity, account.name), count)
    for account in fleet.accounts[:MOST_ACCOUNTS]:
        if not account.is_away:
            with suppress(LedgerUnavailable, UnknownAccount):  # it has gone away since, or was removed
                ledger = runtime.ledger(account.name)
                of_account = list(_of_account(ledger, read_facts(ledger, home)))
                yield from (replace(one, labels=(*one.labels, account.name)) for one in of_account)


def _of_account(ledger: Ledger, facts: Facts) -> Iterator[Sample | Buckets]:
    """Yield what each account has for itself."""
    yield _sample("agenda_lag_seconds", facts.agenda_lag.total_seconds())
    yield from _of_sending(facts.sending)
    yield from _of_gate(facts)
    yield from _of_ledger(ledger, facts)


def _of_findings(found: Iterable[Finding]) -> Iterator[Sample]:
    counts = Counter((one.code, one.severity) for one in found)
    for code in Code:
        for severity in Severity:
            yield Sample(FINDING, (code, severity), counts[code, severity])


def _of_facts(facts: Facts) -> Iterator[Sample]:
    for name, queue in facts.queues.items():
        yield _sample("queue_messages", queue.length, name.rpartition(".")[2])
        yield _sample("queue_oldest_seconds", _age(facts.now, queue.oldest), name.rpartition(".")[2])
    for one in facts.heartbeats:
        yield _sample("heartbeat_age_seconds", _age(facts.now, one.at), one.worker, one.kind)
    for one in facts.workers:
        yield _sample("worker_info", 1, one.worker, one.host or "", one.version or "", one.pool or "")
    for name, tick in facts.ticks.items():
        yield _sample("tick_age_seconds", _age(facts.now, tick.at), name)
    if "used_memory" in facts.info:
        yield _sample("redis_memory_bytes", float(facts.info["used_memory"]))
        yield _sample("redis_memory_limit_bytes", float(facts.info.get("maxmemory", 0)))


def _of_sending(sending: SendingStatus) -> Iterator[Sample]:
    yield _sample("open_numbers", sending.open_numbers)
    for bucket, text in (("account", sending.rate), ("call", sending.call_rate)):
        rate = Rate.parse(text)
        yield _sample("limit_per_second", float(rate.number / rate.window_seconds), bucket)
    yield _sample("pace_share", sending.share)
    left = sending.closed_until - sending.now if sending.closed_until else timedelta()
    yield _sample("pace_closed_seconds", left.total_seconds())
    paused = {(pause.kind or "operator", pause.lane or "all") for pause in sending.pauses}
    for kind, lane in [*(("operator", lane) for lane in ("all", *Lane)), *((kind, "all") for kind in PAUSE_KINDS)]:
        yield _sample("paused", (kind, lane) in paused, kind, lane)
    for country in sorted({_country(one.name) for one in sending.refused_destinations}):
        yield _sample("refused_countries", 1, country)
    open_breakers = {_country(one.country): False for one in sending.breakers}
    open_breakers |= {_country(one.country): True for one in sending.breakers if one.open_since}
    for country, is_open in open_breakers.items():
        yield _sample("breaker_open", is_open, country)
    for limit, count in sending.refusals.items():
        if _LIMIT.fullmatch(limit):
            yield _sample("refusals_total", count, limit)


def _of_gate(facts: Facts) -> Iterator[Sample]:
    gate = facts.gate
    yield _sample("gate_closed_seconds", _age(facts.now, gate.closed_at))
    yield _sample("gate_unreported_processes", gate.unreported)
    yield _sample("gate_reported_numbers", gate.mended)
    yield _sample("gate_held_numbers", gate.forgotten)


def _of_ledger(ledger: Ledger, facts: Facts) -> Iterator[Sample | Buckets]:
    counts = read_counts(ledger)
    yield from _of_counts(counts)
    for histogram, metric in HISTOGRAMS.items():
        for labels, (buckets, total) in histogram.of(counts).items():
            if len(labels) == len(metric.labels):
                yield Buckets(metric, labels, buckets, total)
    oldest, *people = ledger.run_all(
        ("zrange", ledger.keys.in_doubt, 0, 0, False, True),
        *(("zcard", ledger.keys.backlog(channel)) for channel in LISTS),
    )
    for channel, waiting in zip(LISTS, people, strict=True):
        yield _sample("people_waiting", waiting, channel)
    yield _sample("in_doubt", facts.in_doubt)
    yield _sample("in_doubt_oldest_seconds", _age(facts.now, moment(int(oldest[0][1])) if oldest else None))
    batches = unfinished_batches(ledger, MOST_BATCHES, facts.sending)
    for state, names in batches.names.items():
        yield _sample("batches", len(names), state)
    for batch in batches.newest:
        for outcome, rows in batch.outcomes.items():
            yield _sample("batch_rows", rows, batch.name, outcome)
    for one in deliveries(ledger, MOST_EVENTS):
        if one.consumer in set(Consumer):
            yield _sample("events_behind", one.behind, one.consumer)
            yield _sample("events_waiting", one.waiting, one.consumer)
            yield _sample("events_oldest_seconds", _age(facts.now, one.oldest), one.consumer)
            yield _sample("events_failures", one.failures, one.consumer)
            yield _sample("events_delivered_total", one.delivered, one.consumer)
            yield _sample("events_given_up_total", one.given_up, one.consumer)


def _of_counts(counts: Iterable[Count]) -> Iterator[Sample]:
    for one in counts:
        metric = COUNTERS.get(one.name)
        labels = one.labels if metric is None or metric.labels[0] != "country" else (one.country, *one.labels)
        if metric and len(labels) == len(metric.labels):
            yield Sample(metric, labels, one.count)


def _sample(name: str, value: float, *labels: str) -> Sample:
    return Sample(_BY_NAME[f"ringproof_{name}"], labels, float(value))


def _age(now: datetime, when: datetime | None) -> float:
    return max((now - when).total_seconds(), 0.0) if when else 0.0


def _country(name: str) -> str:
    return name if _COUNTRY.fullmatch(name) else "other"
