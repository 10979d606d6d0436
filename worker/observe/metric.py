"""The metrics: the name, the kind, the labels and the meaning of each. docs/operating/metrics.md is written from here.

The series of an account beside the default one have the label `account`, too. Labels have few values. A country has
series of its own only if it gets codes (`ringproof/ledger/lua/lib/metrics.lua`), and a batch only while it runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ringproof.ledger.metrics import HTTP, SLOT_WAIT, Histogram

MOST_BATCHES: Final = 20
"""Batches with series of their own: those that run, the newest first."""

ACCOUNT: Final = "account"
"""The label with the name of an account. The series of the default account have none."""

MOST_ACCOUNTS: Final = 50
"""Accounts with series of their own, as they are written: a label must not have a thousand values."""

MOST_IN_TROUBLE: Final = 200
"""Accounts whose findings have series, which exist only while something is wrong."""

MOST_EVENTS: Final = 10_000
"""How many undelivered events a scrape counts: it reads them all, every few seconds."""


class Kind(StrEnum):
    """What Prometheus calls a metric: a count that only grows, a value of now, or durations by their length."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: its name, kind and labels, and what it says in a sentence."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str


REDIS_UP: Final = Metric(
    "ringproof_redis_up", Kind.GAUGE, (), "Whether Redis answers. If it does not, only this and the findings are known."
)
FINDING: Final = Metric(
    "ringproof_finding",
    Kind.GAUGE,
    ("code", "severity"),
    "How often `ringproof status` finds this wrong now; 0 if it does not.",
)

_ONE_REQUEST: Final = ("country", "channel", "lane")

COUNTERS: Final[Mapping[str, Metric]] = {
    "accepted": Metric(
        "ringproof_accepted_total", Kind.COUNTER, _ONE_REQUEST, "Requests that the ledger has accepted."
    ),
    "outcome": Metric(
        "ringproof_outcomes_total",
        Kind.COUNTER,
        ("country", "state", "reason", "channel", "lane"),
        "How often a request has come to a state: `code_sent`, `verified`, `expired`, `failed`, `cancelled`, "
        "`in_doubt` or `waiting`. A reason of `-` is none.",
    ),
    "entered": Metric(
        "ringproof_codes_entered_total",
        Kind.COUNTER,
        _ONE_REQUEST,
        "Codes that people have entered, so that Plivo verified the number.",
    ),
    "wrong_code": Metric("ringproof_wrong_codes_total", Kind.COUNTER, ("country",), "Codes that Plivo has refused."),
    "slot": Metric(
        "ringproof_slots_total",
        Kind.COUNTER,
        ("user", "channel"),
        "Slots of the pace by who got them: a lane; `question`, a request that sends no code; or `again`, a send "
        "that has missed its slot.",
    ),
}
"""The counts of the scripts, by the name in their fields."""

HISTOGRAMS: Final[Mapping[Histogram, Metric]] = {
    HTTP: Metric(
        "ringproof_plivo_seconds",
        Kind.HISTOGRAM,
        ("request", "result"),
        "How long Plivo took to answer a `send` or a `question`, by what it answered.",
    ),
    SLOT_WAIT: Metric(
        "ringproof_slot_wait_seconds",
        Kind.HISTOGRAM,
        ("lane",),
        "From when a request was accepted until its slot. Pauses and quiet hours do not count.",
    ),
}
"""The durations that the workers count."""

_OTHERS: Final = (
    Metric(
        "ringproof_refusals_total",
        Kind.COUNTER,
        ("limit",),
        "Requests that a cap, the countries or the backlog have refused.",
    ),
    Metric("ringproof_queue_messages", Kind.GAUGE, ("queue",), "Messages that wait in a Celery queue."),
    Metric(
        "ringproof_queue_oldest_seconds",
        Kind.GAUGE,
        ("queue",),
        "How long ago the number of the oldest message was accepted; 0 if none waits.",
    ),
    Metric(
        "ringproof_people_waiting", Kind.GAUGE, ("channel",), "People whose code was not sent yet: they need a slot."
    ),
    Metric("ringproof_open_numbers", Kind.GAUGE, (), "Numbers on the agenda: all that are not final."),
    Metric("ringproof_agenda_lag_seconds", Kind.GAUGE, (), "For how long the oldest entry of the agenda has been due."),
    Metric("ringproof_in_doubt", Kind.GAUGE, (), "Numbers in doubt now."),
    Metric("ringproof_in_doubt_oldest_seconds", Kind.GAUGE, (), "How long the oldest doubt lasts; 0 if there is none."),
    Metric(
        "ringproof_limit_per_second",
        Kind.GAUGE,
        ("bucket",),
        "Plivo's limit that the rate stands for: `account` for all requests, `call` for calls.",
    ),
    Metric(
        "ringproof_pace_share",
        Kind.GAUGE,
        (),
        "How much of the pace is used: less than 1 for seconds after several answers 429.",
    ),
    Metric("ringproof_pace_closed_seconds", Kind.GAUGE, (), "How long an answer 429 keeps all sending back yet."),
    Metric(
        "ringproof_paused",
        Kind.GAUGE,
        ("kind", "lane"),
        "1 while sending is paused: by an `operator`, or because of Plivo's answers.",
    ),
    Metric(
        "ringproof_gate_closed_seconds",
        Kind.GAUGE,
        (),
        "For how long nothing is sent, because Redis may have gone back in time; 0 while sending goes on.",
    ),
    Metric(
        "ringproof_gate_unreported_processes",
        Kind.GAUGE,
        (),
        "Processes that have not reported what they have sent, since Redis last may have gone back.",
    ),
    Metric(
        "ringproof_gate_reported_numbers",
        Kind.GAUGE,
        (),
        "Numbers that were reported to Redis again, the last time that it went back: they get no second code.",
    ),
    Metric(
        "ringproof_gate_held_numbers",
        Kind.GAUGE,
        (),
        "Numbers that had to wait, the last time that a process did not report what it had sent.",
    ),
    Metric("ringproof_refused_countries", Kind.GAUGE, ("country",), "1 while Plivo refuses codes to a country."),
    Metric(
        "ringproof_breaker_open",
        Kind.GAUGE,
        ("country",),
        "1 while the breaker of a country is open, 0 while it judges codes.",
    ),
    Metric(
        "ringproof_accounts",
        Kind.GAUGE,
        ("state",),
        "Accounts beside the default one: all that are `known`, those `at_work`, and those `in_trouble`.",
    ),
    Metric("ringproof_batches", Kind.GAUGE, ("state",), "Batches that run or are paused."),
    Metric(
        "ringproof_batch_rows",
        Kind.GAUGE,
        ("batch", "outcome"),
        f"Rows of the newest {MOST_BATCHES} unfinished batches by outcome.",
    ),
    Metric(
        "ringproof_events_behind", Kind.GAUGE, ("consumer",), f"Events that were not tried yet, up to {MOST_EVENTS:,}."
    ),
    Metric(
        "ringproof_events_waiting",
        Kind.GAUGE,
        ("consumer",),
        "Events that wait for another try, or stand behind one that does.",
    ),
    Metric(
        "ringproof_events_oldest_seconds",
        Kind.GAUGE,
        ("consumer",),
        "How old the oldest event is that was not tried yet; 0 if there is none.",
    ),
    Metric("ringproof_events_failures", Kind.GAUGE, ("consumer",), "Deliveries in a row that have failed."),
    Metric("ringproof_events_delivered_total", Kind.COUNTER, ("consumer",), "Events that were delivered."),
    Metric(
        "ringproof_events_given_up_total", Kind.COUNTER, ("consumer",), "Events that were given up after three days."
    ),
    Metric(
        "ringproof_heartbeat_age_seconds",
        Kind.GAUGE,
        ("worker", "kind"),
        "How long ago a worker or a beat last said that it runs. One that has ended is forgotten at once, and one that "
        "was killed after an hour.",
    ),
    Metric(
        "ringproof_worker_info",
        Kind.GAUGE,
        ("worker", "host", "version", "pool"),
        "1 for each worker that takes messages.",
    ),
    Metric(
        "ringproof_tick_age_seconds",
        Kind.GAUGE,
        ("tick",),
        "How long ago the sweep and the feeder last ran, and beat last sent a tick.",
    ),
    Metric(
        "ringproof_redis_memory_bytes", Kind.GAUGE, (), "What Redis uses of its memory. Nothing if it forbids INFO."
    ),
    Metric("ringproof_redis_memory_limit_bytes", Kind.GAUGE, (), "The maxmemory of Redis; 0 for none."),
)

METRICS: Final[tuple[Metric, ...]] = (REDIS_UP, FINDING, *COUNTERS.values(), *HISTOGRAMS.values(), *_OTHERS)
"""All metrics. An installation has each of them as soon as it has something to say with it."""
