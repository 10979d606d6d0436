"""Rows of a country that Plivo refuses: they wait, take nothing from the others, end, and are named."""

import io

import pytest
from click.testing import CliRunner
from rich.console import Console
from support.harness import fresh_number
from support.roster_of_batch import TAKEN, Batches, import_rows

from ringproof import runtime
from ringproof.batches import operations
from ringproof.batches.erasure import erase_number
from ringproof.batches.model import BatchState
from ringproof.errors import Forbidden
from ringproof.ledger import control
from ringproof.ledger.record import Lane, Reason, State
from worker import cli
from worker.observe.facts import Facts
from worker.sending.outcomes import outcome_of
from worker.views.batch import batch_view
from worker.views.number import next_step_text
from worker.views.sending import sending_view

REFUSED = outcome_of(Forbidden("403 not enabled"), 1)


@pytest.fixture
def world(client, monkeypatch):
    return Batches(client, monkeypatch)


def mixed(world, ours, theirs):
    """Import a roster with so many rows of the United States and of Brazil, and return its numbers."""
    numbers = [fresh_number() for _ in range(ours)], [f"+55119{60000000 + nth}" for nth in range(theirs)]
    import_rows(world.ledger, "spring", [*numbers[1], *numbers[0]])
    return numbers


def plivo(number):
    return REFUSED if number.startswith("+55") else TAKEN


def shown(view):
    console = Console(file=io.StringIO(), width=200)
    console.print(view)
    return console.file.getvalue()


def test_rows_that_wait_for_a_country_take_no_room_and_no_message(world):
    """All rows of Brazil come first, many more than the feeder is ahead of the pace."""
    ours, theirs = mixed(world, 100, 1000)
    began = world.now_us
    sent = []
    while len([number for number in sent if number in set(ours)]) < 100:
        world.feed(1.0)
        sent += world.work(plivo)
    in_messages = {number for message in world.messages for number, _ in message}

    assert (world.now_us - began) / 1e6 < 20
    assert len(in_messages & set(theirs)) < 200, "those fed before the first refusal, and the tries"
    assert world.summary("spring").outcomes["code_sent"] == 100


def test_a_batch_names_the_country_and_is_completed_at_the_deadline(world):
    mixed(world, 10, 30)
    for _ in range(4):
        world.feed(1.0)
        world.work(plivo)
    batch = world.summary("spring")
    assert batch.state is BatchState.RUNNING
    assert "rows wait, until their deadline, because Plivo refuses BR (403)" in batch.held_back_by
    assert "Geo Permissions" in shown(batch_view(batch))
    for _ in range(58):
        world.feed(1500.0)
        world.work(plivo)

    batch = world.summary("spring")
    assert batch.state is BatchState.COMPLETED
    assert batch.outcomes["failed:forbidden"] == 30


def test_a_cancelled_batch_takes_back_the_rows_that_wait(world):
    mixed(world, 0, 30)
    world.feed(1.0)
    world.work(plivo, most=1)
    world.feed(1.0)
    world.work(plivo)
    operations.cancel(world.ledger, "spring")
    world.feed(1.0)

    outcomes = world.summary("spring").outcomes
    assert set(outcomes) == {"failed:forbidden", "cancelled"}
    assert not world.client.exists(world.keys.destinations_waiting)


def test_a_paused_batch_gives_its_tries_away_and_goes_on_after_its_resume(world):
    _, theirs = mixed(world, 0, 20)
    world.feed(1.0)
    world.work(plivo, most=1)
    world.feed(1.0)
    world.work(plivo)
    operations.pause(world.ledger, "spring")
    for _ in range(30):
        world.feed(5.0)
        assert world.work(plivo) == []
    operations.resume(world.ledger, "spring")
    for _ in range(20):
        world.feed(5.0)
        world.work(TAKEN)

    assert world.summary("spring").outcomes == {"code_sent": len(theirs) - 1, "failed:forbidden": 1}


def test_an_erased_number_does_not_wait_any_more(world):
    _, theirs = mixed(world, 0, 10)
    world.feed(1.0)
    world.work(plivo, most=1)
    world.feed(1.0)
    world.work(plivo)
    waiting = [number for number in theirs if world.state_of(number) is State.WAITING]
    for number in waiting:
        erase_number(world.ledger, number)

    assert waiting
    assert not world.client.exists(world.keys.destinations_waiting)


def test_the_status_and_the_number_say_what_to_do(world, monkeypatch):
    row, other = world.numbers(2, country="BR")
    world.send(row, REFUSED)
    world.begin(other)
    (person,) = world.numbers(1, Lane.INTERACTIVE, country="BR")
    world.begin(person)
    status = shown(sending_view(Facts(control.sending_status(world.ledger)), ()))
    monkeypatch.setattr(runtime, "ledger", lambda *_: world.ledger)
    resumed = CliRunner().invoke(cli.main, ["resume"])

    assert "Plivo refuses BR since" in status
    assert "enable it in Plivo's console (Geo Permissions), then ringproof resume" in status
    assert world.record(other).reason is Reason.REFUSED
    assert "it fails as forbidden" in next_step_text(world.record(other))
    assert "Plivo refuses BR" in next_step_text(world.record(person))
    assert (resumed.exit_code, resumed.stdout) == (0, "tried again at once, as soon as a number waits: BR\n")
    assert "as soon as there is one" in shown(sending_view(Facts(control.sending_status(world.ledger)), ()))
