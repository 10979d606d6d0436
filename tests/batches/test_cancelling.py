"""All that has not begun of a country, a range or a lane is cancelled, in portions, and nothing else."""

import pytest
from click.testing import CliRunner
from support.roster_of_batch import TAKEN, Batches, import_rows

from ringproof import runtime
from ringproof.batches import cancelling, operations
from ringproof.batches.cancelling import Selection, cancel_unbegun, count_unbegun
from ringproof.batches.erasure import erase_number
from ringproof.batches.model import BatchState
from ringproof.errors import LedgerUnavailable, Rejected, Unknown
from ringproof.ledger import audit
from ringproof.ledger.record import Lane, State
from worker import cli
from worker.sending.outcomes import outcome_of

BRAZIL = [f"+55119{60000000 + nth}" for nth in range(300)]
UNITED_STATES = [f"+1415212{nth:04}" for nth in range(300)]


@pytest.fixture
def world(client, monkeypatch):
    world = Batches(client, monkeypatch)
    monkeypatch.setattr(runtime, "ledger", lambda *_: world.ledger)
    return world


def cancel(world, **selection):
    selection = Selection(**selection)
    counted = count_unbegun(world.ledger, selection)
    cancelled = sum(cancel_unbegun(world.ledger, selection))
    assert cancelled == counted, "the count that the operator is asked about"
    return cancelled


def ask(world, number, country, lane):
    return number, world.ledger.accept(number, token=number + lane, lane=lane, country=country).request


@pytest.fixture
def asked(world):
    """One request for each country and lane."""
    return {
        (country, lane): ask(world, numbers[nth], country, lane)
        for country, numbers in (("BR", BRAZIL), ("US", UNITED_STATES))
        for nth, lane in enumerate(Lane)
    }


@pytest.mark.parametrize(
    ("selection", "is_meant"),
    [
        ({"country": "BR"}, lambda country, _: country == "BR"),
        ({"lane": Lane.INTERACTIVE}, lambda _, lane: lane is Lane.INTERACTIVE),
        ({"lane": Lane.SCHEDULED}, lambda _, lane: lane is Lane.SCHEDULED),
        ({"range": "+1415212000"}, lambda country, _: country == "US"),
        ({"range": "+14152120001"}, lambda country, lane: (country, lane) == ("US", Lane.SCHEDULED)),
        ({"country": "US", "lane": Lane.BULK}, lambda country, lane: (country, lane) == ("US", Lane.BULK)),
        ({"country": "BR", "range": "+1"}, lambda *_: False),
    ],
)
def test_what_is_named_together_is_cancelled_and_a_second_time_there_is_nothing(world, asked, selection, is_meant):
    meant = {one for one in asked if is_meant(*one)}

    assert cancel(world, **selection) == len(meant)
    states = {one: world.record(request).state for one, request in asked.items()}
    assert {one for one, state in states.items() if state is State.CANCELLED} == meant
    assert {state for one, state in states.items() if one not in meant} <= {State.QUEUED}
    assert cancel(world, **selection) == 0
    assert world.client.zcard(world.keys.agenda) == len(asked) - len(meant)


def test_what_is_being_sent_in_doubt_or_sent_stays_and_what_waits_does_not(world):
    numbers = [ask(world, number, "BR", Lane.INTERACTIVE) for number in BRAZIL[:4]]
    for request, outcome in zip(numbers, (TAKEN, outcome_of(Unknown("502"), 1)), strict=False):
        world.settle(world.begin(request), outcome)
    world.begin(numbers[2])
    world.client.hset(world.keys.pauses, "person:all", world.now_us // 1000)
    world.begin(numbers[3])

    assert world.record(numbers[3]).state is State.WAITING
    assert cancel(world, country="BR") == 1
    assert [world.record(request).state for request in numbers] == [
        State.CODE_SENT, State.IN_DOUBT, State.SENDING, State.CANCELLED,
    ]  # fmt: skip


def test_a_request_that_has_begun_or_was_replaced_meanwhile_is_not_cancelled(world, monkeypatch):
    """Between the look at a record and the cancel, a worker begins one request, and a person takes another one over."""
    begins, promoted, stays = (ask(world, number, "BR", Lane.SCHEDULED) for number in BRAZIL[:3])
    run_script = world.ledger.run_script

    def a_moment_later(name, *arguments):
        if name == "number/cancel_many":
            monkeypatch.undo()
            world.begin(begins)
            ask(world, promoted[0], "BR", Lane.INTERACTIVE)
        return run_script(name, *arguments)

    monkeypatch.setattr(world.ledger, "run_script", a_moment_later)

    assert list(cancel_unbegun(world.ledger, Selection(country="BR"))) == [1]
    assert world.record(begins).state is State.SENDING
    assert (world.record(promoted).state, world.record(promoted).lane) == (State.QUEUED, Lane.INTERACTIVE)
    assert world.record(stays).state is State.CANCELLED


class TestABatch:
    @pytest.mark.parametrize("paused", [False, True])
    def test_loses_the_rows_of_a_country_that_were_not_fed_too(self, world, paused):
        import_rows(world.ledger, "spring", [*BRAZIL, *UNITED_STATES])
        world.feed()
        if paused:
            operations.pause(world.ledger, "spring")
        fed = world.summary("spring").fed

        assert 0 < fed < len(BRAZIL)
        assert cancel(world, country="BR") == len(BRAZIL)
        if paused:
            operations.resume(world.ledger, "spring")
        assert sorted(world.until_empty()) == UNITED_STATES
        batch = world.summary("spring")
        assert batch.outcomes == {"cancelled": len(BRAZIL), "code_sent": len(UNITED_STATES)}
        assert batch.state is BatchState.COMPLETED

    def test_whose_rows_are_all_meant_is_completed(self, world):
        import_rows(world.ledger, "spring", BRAZIL)

        assert cancel(world, lane=Lane.BULK) == len(BRAZIL)
        assert world.summary("spring").state is BatchState.COMPLETED
        assert world.until_empty() == []

    def test_that_is_cancelled_afterwards_counts_each_row_once(self, world):
        import_rows(world.ledger, "spring", [*UNITED_STATES, *BRAZIL])
        world.feed()
        cancel(world, country="BR")
        operations.cancel(world.ledger, "spring")
        world.until_empty()

        assert world.summary("spring").outcomes == {"cancelled": len(BRAZIL) + len(UNITED_STATES)}
        assert world.summary("spring").unfinished == 0

    def test_has_rows_that_an_operator_retries_cancelled_before_they_are_fed(self, world):
        import_rows(world.ledger, "spring", [*BRAZIL[:3], UNITED_STATES[0]])
        world.until_empty(outcome_of(Rejected("400"), 1))
        operations.retry(world.ledger, "spring", ["rejected"])

        assert cancel(world, country="BR") == 3
        assert world.until_empty() == UNITED_STATES[:1]
        assert world.summary("spring").outcomes == {"cancelled": 3, "code_sent": 1}

    def test_keeps_the_outcome_of_an_erased_row(self, world):
        import_rows(world.ledger, "spring", BRAZIL[:3])
        operations.pause(world.ledger, "spring")
        erase_number(world.ledger, BRAZIL[1])

        assert cancel(world, country="BR") == 2

    def test_is_left_alone_by_a_lane_of_people(self, world):
        import_rows(world.ledger, "spring", BRAZIL)

        assert cancel(world, country="BR", lane=Lane.INTERACTIVE) == 0


def test_no_script_gets_more_than_a_portion_and_what_is_done_stays_done(world, monkeypatch):
    monkeypatch.setattr(cancelling, "PORTION", 50)
    for number in BRAZIL:
        ask(world, number, "BR", Lane.SCHEDULED)
    portions = cancel_unbegun(world.ledger, Selection(country="BR"))
    first = next(portions)
    portions.close()
    rest = list(cancel_unbegun(world.ledger, Selection(country="BR")))

    assert max(first, *rest) <= 50
    assert first + sum(rest) == len(BRAZIL)


class TestTheCommand:
    def run(self, *arguments, answer=None):
        return CliRunner().invoke(cli.main, ["cancel", *arguments, "--as", "alice"], input=answer)

    def test_asks_first_and_says_how_many(self, world, asked):
        refused = self.run("--country", "br", "--lane", "interactive", answer="n\n")
        untouched = [world.record(request).state for request in asked.values()]
        done = self.run("--country", "br", "--lane", "interactive", answer="y\n")
        again = self.run("--country", "br", "--lane", "interactive", "--yes")

        assert (refused.exit_code, done.exit_code, again.exit_code) == (1, 0, 1)
        assert "1 request of BR in the lane interactive can be cancelled. Go on? [y/N]" in refused.stderr
        assert set(untouched) == {State.QUEUED}
        assert done.stdout == "1 request of BR in the lane interactive is cancelled; nothing is sent\n"
        assert again.stdout.startswith("nothing of BR in the lane interactive can be cancelled")

    @pytest.mark.usefixtures("asked")
    def test_is_noted_for_the_audit_with_the_beginning_of_the_range(self, world):
        done = self.run("--range", "+1 415-212 00", "--yes")

        assert "3 requests with numbers that begin with +141521200 are cancelled" in done.stdout
        (entry,) = audit.entries(world.ledger, 9)
        assert (entry.actor, entry.action) == ("alice", "cancel")
        assert entry.subject == "with numbers that begin with +14152…"

    @pytest.mark.parametrize(
        ("arguments", "hint"),
        [
            ((), "Name a NUMBER, or some of --country, --range and --lane"),
            (("+14155550123", "--country", "US"), "Name a NUMBER, or"),
            (("--country", "Brazil"), "--country"),
            (("--range", "1415"), "+1415555"),
            (("--range", "+14155550123"), "One number is a NUMBER"),
            (("--lane", "slow"), "--lane"),
        ],
    )
    @pytest.mark.usefixtures("world")
    def test_refuses_a_choice_that_means_nothing(self, arguments, hint):
        refused = self.run(*arguments, "--yes")

        assert refused.exit_code == 2
        assert hint in refused.stderr

    @pytest.mark.parametrize(
        ("error", "exit_code"), [(KeyboardInterrupt(), 3), (LedgerUnavailable("redis://h", "no answer"), 1)]
    )
    def test_says_what_is_done_if_it_ends_before_all_is(self, world, asked, monkeypatch, error, exit_code):
        def stops_after_one(*arguments):
            yield next(cancel_unbegun(*arguments))
            raise error

        monkeypatch.setattr("worker.cli.cancel.cancel_unbegun", stops_after_one)
        monkeypatch.setattr(cancelling, "PORTION", 1)
        stopped = self.run("--country", "BR", "--yes")
        states = [world.record(request).state for request in asked.values()]

        assert stopped.exit_code == exit_code
        assert "stopped; 1 request is cancelled, and the same command cancels the rest" in stopped.stderr
        assert states.count(State.CANCELLED) == 1
