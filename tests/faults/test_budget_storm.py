"""A budget holds while the workers that send for it are killed all the time."""

from decimal import Decimal

import pytest
from batches_of import agrees
from support.harness import LONG, eventually, fresh_number
from support.roster_of_batch import import_rows
from world import KillingOfChildren, World

from ringproof.batches.model import BatchState
from ringproof.batches.prices import Payment, Prices
from ringproof.batches.summary import batch_summary
from ringproof.ledger.record import State

ROWS, PAID, WORKERS_KILLED = (2000, 1000, 6) if LONG else (200, 100, 2)
PRICE = Decimal("0.0475")


@pytest.mark.timeout(600 if LONG else 300)
def test_no_more_is_sent_than_a_budget_pays_for_while_workers_are_killed(tmp_path):
    with World(tmp_path) as world:
        world.plivo.switch(latency_ms=[50, 200])
        killing = KillingOfChildren(world)
        print(f"seed {killing.seed}")
        killing.worker = world.start(children=6)
        killing.start()
        budget = PAID * PRICE + PRICE / 2
        import_rows(
            world.ledger,
            "spring",
            [fresh_number() for _ in range(ROWS)],
            payment=Payment(Prices.read("US=0.0475"), budget),
        )
        for nth in range(WORKERS_KILLED):
            enough = PAID * PRICE * (nth + 1) / (WORKERS_KILLED + 1)
            eventually(lambda enough=enough: spring(world).cost.spent >= enough, within=120, why="nothing is sent")
            killing.kill_worker()
            killing.worker = world.start(children=6)
        eventually(lambda: spring(world).state is BatchState.PAUSED, within=120, why="the budget is not spent")
        killing.end()
        eventually(lambda: is_spent(spring(world)), within=120, why="what was paid back is not spent")

        paid, outcomes = spring(world).cost.spent / PRICE, agrees(world, "spring").outcomes
        is_paid_for = {State.CODE_SENT, State.IN_DOUBT}
        sent = sum(count for outcome, count in outcomes.items() if outcome.partition(":")[0] in is_paid_for)
        assert len(world.plivo.sends()) <= paid == PAID, "more was sent than was paid for"
        assert paid == sent


def is_spent(batch):
    """Whether the batch has come to its end, and nothing of it is on its way."""
    is_paid = batch.cost.spent == PAID * PRICE
    return is_paid and batch.state is BatchState.PAUSED and not batch.outcomes.get("sending")


def spring(world):
    return batch_summary(world.ledger, "spring")
