"""The status of the sending as a line of JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ringproof.events.delivery_status import Delivery
from ringproof.ledger.control import QUEUES_SHOWN
from worker.observe.accounts import NO_ACCOUNTS, Fleet
from worker.observe.facts import Facts, Queue
from worker.observe.finding import Finding
from worker.views.movement import state_of
from worker.views.text import json_line

if TYPE_CHECKING:
    from ringproof.batches.model import Batch


def status_json(
    facts: Facts,
    found: Sequence[Finding],
    deliveries: Sequence[Delivery] = (),
    fleet: Fleet = NO_ACCOUNTS,
    priced: Sequence["Batch"] = (),
) -> str:
    """Return everything that `sending_view` shows as a line of JSON. Its first key says how the sending goes."""
    return json_line(
        {
            "sending": state_of(facts, found),
            "findings": [one.fields() for one in found],
            **asdict(facts.sending),
            **_facts_json(facts),
            "deliveries": [asdict(one) for one in deliveries],
            "accounts": _accounts_json(fleet),
            "costs": {one.name: one.cost.as_json() for one in priced if one.cost},
        }
    )


def _accounts_json(fleet: Fleet) -> dict[str, int]:
    """Return what the accounts beside the default one have to do, in sum: `ringproof accounts ls --json` has each."""
    return {
        "count": len(fleet.accounts),
        "at_work": sum(one.is_at_work for one in fleet.accounts),
        "in_trouble": sum(bool(one.found) for one in fleet.accounts),
        "open_numbers": sum(one.open_numbers for one in fleet.accounts),
        "in_doubt": sum(one.in_doubt for one in fleet.accounts),
    }


def away_json(found: Finding) -> str:
    """Return as a line of JSON that Redis does not answer, so that nothing else is known."""
    return json_line({"sending": found.severity, "findings": [found.fields()]})


def _facts_json(facts: Facts) -> dict[str, Any]:
    """Return the facts that are not in the `SendingStatus`, for JSON."""

    def age(waiting: Queue | None) -> float | None:
        return round(facts.age(waiting.oldest).total_seconds(), 3) if waiting and waiting.oldest else None

    return {
        "last_minute": asdict(facts.minute) if facts.minute else None,
        "oldest_seconds": {name: age(facts.queues.get(queue)) for name, queue in QUEUES_SHOWN.items()},
        "agenda_lag_seconds": round(facts.agenda_lag.total_seconds(), 3),
        "in_doubt": facts.in_doubt,
        "feeding": facts.feeding,
        "last_sweep": facts.last_sweep,
        "ticks": {name: asdict(tick) for name, tick in facts.ticks.items()},
        "workers": [asdict(one) for one in facts.heartbeats],
        "processes": [asdict(one) for one in facts.activities],
    }
