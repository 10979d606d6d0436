"""Batches in simulated time: each row's outcome is counted once, in spite of persons, pauses and doubts."""

import json
import subprocess
import sys
from datetime import UTC, datetime, time, timedelta
from urllib.parse import urlsplit

import pytest
from support.far_away import FarAway
from support.harness import fresh_number
from support.roster_of_batch import TAKEN, Batches, import_rows
from support.simulation import CLOCK, SECOND

from ringproof import runtime
from ringproof.batches import feeding, operations
from ringproof.batches.importing import begin_import
from ringproof.batches.model import BatchState, pack_row, unpack_row
from ringproof.batches.rows import batch_rows
from ringproof.batches.summary import batch_names, batch_summary
from ringproof.errors import BatchBusy, BatchExists, InvalidRequest, InvalidRoster, LedgerUnavailable, UnknownBatch
from ringproof.ledger import control
from ringproof.ledger.agenda import work_off_agenda
from ringproof.ledger.answers import AgendaAction, Outcome, PlivoSignal, Verdict
from ringproof.ledger.connection import connect
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import Lane, Reason, State
from ringproof.ledger.row_outcomes import BYTES, UNFINISHED_BYTES
from ringproof.phone.quiet_hours import QuietHours
from ringproof.rosters.roster import roster_of
from tasks import feeder, import_roster
from tasks.sweep import end_doubt

REJECTED = Outcome(State.FAILED, Reason.REJECTED, "400", plivo_signal=PlivoSignal.ANSWERED)
DOUBTFUL = Outcome(State.IN_DOUBT)
MINUTE = 60


@pytest.fixture
def world(client, monkeypatch):
    return Batches(client, monkeypatch)


def test_a_feeder_far_from_redis_feeds_in_each_tick(world, redis_server):
    world.roster("spring", 150)
    with FarAway(redis_server.port, 120) as network:
        url = urlsplit(redis_server.url)
        far = connect(url._replace(netloc=f"{url.netloc.rpartition(':')[0]}:{network.port}").geturl())
        fed = feeder.feed_once(Ledger(far, prefix=world.prefix, clock=CLOCK))
        far.close()

    assert fed.rows == 100


class TestABatch:
    def test_is_completed_when_each_row_has_an_outcome_and_one_event_reports_it(self, world, client):
        numbers = world.roster("spring", 150, call=5)
        with client.pubsub() as events:
            events.subscribe(world.ledger.keys.events)
            sent = world.until_empty()
            world.feed(1)
            published = [
                json.loads(one["data"])
                for one in iter(lambda: events.get_message(timeout=0.1), None)
                if one["type"] == "message"
            ]

        batch = world.summary("spring")
        assert (batch.state, batch.rows, batch.fed, batch.unfinished) == (BatchState.COMPLETED, 150, 150, 0)
        assert batch.outcomes == {"code_sent": 150}
        assert batch.countries == {"US": {"rows": 150, "code_sent": 150}}
        assert sorted(sent) == sorted(numbers)
        assert [(one["event"], one["batch"]) for one in published] == [("batch_completed", "spring")]
        assert batch.completed_at <= world.moment()

    def test_counts_outcomes_that_come_after_its_completion(self, world):
        world.roster("spring", 6)
        world.until_empty()
        world.feed(16 * MINUTE)

        assert world.summary("spring").outcomes == {"expired": 6}
        assert world.summary("spring").state is BatchState.COMPLETED

    def test_counts_a_number_that_it_has_twice_as_two_rows_and_sends_one_code(self, world):
        number, other = fresh_number(), fresh_number()
        import_rows(world.ledger, "spring", [number, other, number])

        assert sorted(world.until_empty()) == sorted([number, other])
        assert world.summary("spring").outcomes == {"code_sent": 2, "joined": 1}

    def test_is_completed_beside_another_with_the_same_numbers_and_each_number_gets_one_code(self, world):
        numbers = [fresh_number() for _ in range(60)]
        for name in ("spring", "summer"):
            import_rows(world.ledger, name, numbers)
        sent = world.until_empty()

        assert sorted(sent) == sorted(numbers)
        for name in ("spring", "summer"):
            assert world.summary(name).state is BatchState.COMPLETED
        outcomes = [world.summary(name).outcomes for name in ("spring", "summer")]
        assert sum(one.get("code_sent", 0) for one in outcomes) == 60

    @pytest.mark.parametrize(("word", "outcome"), [(operations.pause, "joined"), (operations.cancel, "cancelled")])
    def test_does_not_join_requests_of_a_paused_or_cancelled_batch(self, world, word, outcome):
        numbers = world.roster("spring", 20)
        world.feed()
        word(world.ledger, "spring")
        import_rows(world.ledger, "summer", numbers)
        (summer,) = [batch for batch in feeding.batches_to_feed(world.ledger) if batch.name == "summer"]
        begin = feeding.feed_page(world.ledger, summer, "sms", feeding.next_page(world.ledger, summer, "sms", 20), {})
        world.queue += [(row.number, request) for row, request in begin]

        assert len(begin) == 20
        assert world.summary("spring").outcomes == {outcome: 20}
        assert sorted(world.until_empty()) == sorted(numbers)
        assert world.summary("summer").outcomes == {"code_sent": 20}
        assert world.summary("spring").outcomes == {outcome: 20}

    @pytest.mark.parametrize("word", [operations.pause, operations.cancel])
    def test_has_joined_requests_sent_even_if_the_other_batch_is_paused_or_cancelled_later(self, world, word):
        numbers = world.roster("spring", 20)
        world.feed()
        import_rows(world.ledger, "summer", numbers)
        world.feed()
        assert world.summary("summer").outcomes == {"joined": 20}
        word(world.ledger, "spring")

        assert sorted(world.until_empty()) == sorted(numbers)
        assert world.summary("spring").outcomes == {"code_sent": 20}
        assert world.summary("summer").outcomes == {"joined": 20}

    def test_has_joined_requests_cancelled_if_both_batches_are_cancelled(self, world):
        numbers = world.roster("spring", 20)
        world.feed()
        import_rows(world.ledger, "summer", [*numbers, fresh_number()])
        world.feed()
        for name in ("spring", "summer"):
            operations.cancel(world.ledger, name)

        assert world.until_empty() == []
        assert world.summary("spring").outcomes == {"cancelled": 20}
        assert world.summary("summer").outcomes == {"cancelled": 1, "joined": 20}

    def test_has_joined_requests_wait_while_it_is_paused_and_the_other_batch_is_cancelled(self, world):
        numbers = world.roster("spring", 20)
        world.feed()
        import_rows(world.ledger, "summer", [*numbers, fresh_number()])
        world.feed()
        operations.pause(world.ledger, "summer")
        operations.cancel(world.ledger, "spring")
        assert world.until_empty() == []

        operations.resume(world.ledger, "summer")
        world.pass_(10 * MINUTE)
        assert len(world.until_empty()) == 21

    def test_has_a_joined_request_resent_after_a_doubt_even_if_the_other_batch_is_cancelled(self, world):
        (number,) = world.roster("spring", 1)
        world.feed()
        import_rows(world.ledger, "summer", [number])
        world.feed()
        world.work(DOUBTFUL)
        operations.cancel(world.ledger, "spring")
        world.pass_(16 * MINUTE)
        end_doubt(world.ledger, world.ledger.read(number), None, hold=False)

        assert world.work() == [number]
        assert world.ledger.read(number).joined_by == ("summer",)

    def test_has_joined_requests_sent_even_if_all_other_batches_that_joined_are_cancelled(self, world):
        numbers = world.roster("spring", 20)
        for name in ("summer", "autumn", "winter"):
            world.feed()
            import_rows(world.ledger, name, numbers)
        world.feed()
        for name in ("spring", "summer", "winter"):
            operations.cancel(world.ledger, name)

        assert sorted(world.until_empty()) == sorted(numbers)
        assert world.summary("autumn").outcomes == {"joined": 20}

    def test_that_is_paused_gets_its_numbers_sent_on_resume_though_the_batch_that_took_them_is_cancelled(self, world):
        numbers = world.roster("spring", 20)
        world.feed()
        operations.pause(world.ledger, "spring")
        import_rows(world.ledger, "summer", [*numbers, fresh_number()])
        world.feed()
        assert world.summary("spring").outcomes == {"joined": 20}
        operations.cancel(world.ledger, "summer")
        assert world.until_empty() == []
        assert world.summary("spring").state is BatchState.PAUSED

        assert operations.resume(world.ledger, "spring").state is BatchState.COMPLETED
        world.pass_(10 * MINUTE)
        assert sorted(world.until_empty()) == sorted(numbers)
        assert world.summary("summer").outcomes == {"cancelled": 1, "code_sent": 20}

    def test_that_is_paused_and_has_joined_no_row_is_completed_by_its_last_row(self, world):
        world.roster("spring", 1)
        world.feed()
        begun = world.begin(world.queue.pop(0))
        operations.pause(world.ledger, "spring")
        world.settle(begun, TAKEN)

        assert world.summary("spring").outcomes == {"code_sent": 1}
        assert world.summary("spring").state is BatchState.COMPLETED

    def test_that_is_paused_keeps_its_joined_requests_when_the_other_batch_expires(self, world, client):
        (number,) = world.roster("spring", 1)
        world.feed()
        import_rows(world.ledger, "summer", [number, fresh_number()])
        world.feed()
        operations.pause(world.ledger, "summer")
        operations.cancel(world.ledger, "spring")
        client.delete(*client.keys(f"{world.prefix}:batch:spring*"))  # its days are over
        world.pass_(10 * MINUTE)
        assert world.until_empty() == []

        operations.resume(world.ledger, "summer")
        world.pass_(10 * MINUTE)
        assert number in world.until_empty()

    def test_sends_nothing_to_verified_and_capped_numbers_and_to_countries_that_are_left_out(self, client, monkeypatch):
        world = Batches(client, monkeypatch, countries=("US",), max_calls_per_week=1)
        verified, called, abroad = fresh_number(), fresh_number(), "+4915123456789"
        begun = world.begin((verified, world.person(verified).request))
        world.settle(begun, DOUBTFUL)
        world.settle(begun, Outcome(State.VERIFIED, verification_uuid="uuid"))
        world.send((called, world.person(called, channel="call").request), TAKEN)
        world.pass_(16 * MINUTE)
        rows = [
            {"phone": verified, "channel": ""},
            {"phone": called, "channel": "call"},
            {"phone": abroad, "channel": ""},
        ]
        import_rows(world.ledger, "spring", rows)
        world.feed()

        batch = world.summary("spring")
        assert batch.outcomes == {"verified": 1, "capped:calls_per_week": 1, "country": 1}
        assert batch.state is BatchState.COMPLETED

    def test_keeps_the_alias_subaccount_and_channel_of_each_row(self, world):
        first, second = fresh_number(), fresh_number()
        alias, subaccount = "Zoë & 東京 " * 20, "SA" + "X" * 18
        rows = [
            {"phone": first, "alias": alias, "subaccount": subaccount, "channel": "call"},
            {"phone": second, "alias": "", "subaccount": "", "channel": "sms"},
        ]
        import_rows(world.ledger, "spring", rows)
        world.feed()
        record = world.ledger.read(first)

        assert (record.alias, record.subaccount, record.channel) == (alias.strip(), subaccount, "call")
        assert (record.batch, record.row, record.lane, record.country) == ("spring", "call:0:US", Lane.BULK, "US")
        exported = {row.number: row for row in batch_rows(world.ledger, "spring")}
        assert exported[first].alias == alias.strip()
        assert (exported[second].alias, exported[second].outcome) == (None, "queued")

    def test_yields_each_row_with_its_outcome(self, world):
        numbers = world.roster("spring", 12)
        bad = set(numbers[:3])
        world.until_empty(lambda number: REJECTED if number in bad else TAKEN)
        exported = list(batch_rows(world.ledger, "spring"))

        assert [row.number for row in exported] == numbers
        assert {(row.outcome, row.reason, row.uuid) for row in exported if row.number in bad} == {
            ("failed", "rejected", None)
        }
        assert {(row.outcome, row.reason, row.uuid) for row in exported if row.number not in bad} == {
            ("code_sent", "", "uuid")
        }
        assert "+1415" not in repr(exported[0])

    def test_has_a_rate_and_the_time_left_at_the_pace(self, world):
        world.roster("spring", 3000)
        before = world.summary("spring")
        for _ in range(20):
            world.feed(0)
            world.work(most=50)
        during = world.summary("spring")

        assert before.rate_per_second is None
        assert before.time_left == timedelta(seconds=round(3000 * 5.06 / 300))
        assert during.rate_per_second == pytest.approx(300 / 5.06, rel=0.1)
        assert during.time_left == timedelta(seconds=round(2000 * 5.06 / 300))
        world.pass_(60)
        assert world.summary("spring").rate_per_second < 1

    @pytest.mark.parametrize("name", ["", "-n", "--", "a/b", "a:b", "x" * 65, " a", "a\n", "été", None])
    def test_has_a_name_that_can_be_typed(self, world, name):
        with pytest.raises(InvalidRequest, match="batch"):
            begin_import(world.ledger, name, fingerprint=None)

    def test_that_does_not_exist_is_an_error(self, world):
        assert batch_summary(world.ledger, "spring") is None
        for ask in (operations.pause, operations.resume, operations.cancel):
            with pytest.raises(UnknownBatch):
                ask(world.ledger, "spring")


class TestTheFeeder:
    def test_feeds_three_seconds_of_the_pace_ahead_and_then_waits_for_the_workers(self, world):
        world.roster("spring", 1000, call=100)
        first = world.feed()
        again = [world.feed(1) for _ in range(20)]

        assert first.rows == 179 + 5, "300/5s without the room for jitter, and least for calls"
        assert {one.rows for one in again} == {0}
        assert max(map(len, world.messages[: first.messages])) == 30, "half a second of the pace"
        assert world.summary("spring").outcomes == {"pending": 1000 - 184, "queued": 184}

    def test_uses_the_whole_pace(self, world):
        world.roster("spring", 900)
        start = world.now_us
        sent = []
        while len(sent) < 900:
            world.feed()
            ends = world.now_us + SECOND
            while world.queue and world.now_us < ends:
                sent += world.work(most=1)
            world.at(max(world.now_us, ends))

        assert 900 / ((world.now_us - start) / SECOND) > 0.97 * 59

    def test_gives_a_small_batch_its_turn_beside_a_large_one(self, world):
        world.roster("large", 5000)
        world.feed()
        small = set(world.roster("small", 50))
        for _ in range(5):
            world.feed(1)
            world.work(most=60)

        assert {world.state_of(number) for number in small} == {State.CODE_SENT}
        assert world.summary("small").state is BatchState.COMPLETED
        assert world.summary("large").fed < 460

    def test_gives_many_batches_of_calls_their_turns(self, world):
        for nth in range(12):
            world.roster(f"batch {nth}", 10, call=10)
        for _ in range(12):
            world.feed(1)
            world.work(most=5)

        assert all(world.summary(f"batch {nth}").fed for nth in range(12))

    @pytest.mark.parametrize("lane", [None, Lane.BULK])
    def test_feeds_nothing_while_an_operator_has_paused_sending(self, world, lane):
        control.pause(world.ledger, lane)
        world.roster("spring", 100)
        assert world.feed().rows == 0
        assert "paused" in world.summary("spring").held_back_by
        assert "; to go on: ringproof resume" in world.summary("spring").held_back_by

        control.resume(world.ledger, lane)
        assert world.feed().rows == 100

    def test_feeds_a_few_rows_for_the_probes_while_plivo_fails(self, world):
        world.roster("spring", 300)
        world.feed()
        for _ in range(5):
            world.work(Outcome(State.IN_DOUBT, plivo_signal=PlivoSignal.DOUBTFUL), most=1)
        assert control.sending_status(world.ledger).pauses
        for _ in range(40):
            world.feed(1)
            world.work(most=1)
        world.until_empty()

        assert world.summary("spring").outcomes == {"code_sent": 295, "in_doubt": 5}

    def test_lets_numbers_in_quiet_hours_wait_and_gives_the_pace_to_the_others(self, client, monkeypatch):
        world = Batches(client, monkeypatch)
        night = datetime(2027, 1, 15, 9, 0, tzinfo=UTC)  # in California it is 1 in the night, in Germany 10
        world.at(int(night.timestamp()) * SECOND)
        quiet = QuietHours(time(21), time(8))
        americans = [fresh_number() for _ in range(200)]
        germans = [f"+4915123{456000 + nth}" for nth in range(60)]
        import_rows(world.ledger, "spring", americans + germans)
        fed = world.feed(quiet=quiet)

        assert fed.rows == 260
        assert sorted(number for number, _ in world.queue) == germans
        batch = world.summary("spring")
        assert batch.outcomes == {"queued": 60, "waiting:quiet_hours": 200}
        record = world.ledger.read(americans[0])
        assert record.due_at == quiet.until(americans[0], world.moment()).replace(microsecond=record.due_at.microsecond)
        assert record.ends_at - record.due_at == timedelta(hours=24)
        world.work()
        assert "morning" in world.summary("spring").held_back_by
        world.feed(8 * 3600)
        assert len(world.until_empty()) == 200

    def test_leaves_lost_messages_to_the_sweep_which_sends_them_again_in_chunks(self, world):
        world.roster("spring", 100)
        world.feed()
        world.queue.clear()
        world.messages.clear()
        world.feed(31)

        assert [len(message) for message in world.messages] == [50, 50]
        assert len(world.work()) == 100

    def test_sends_messages_with_one_channel_each(self, world):
        rows = [{"phone": fresh_number(), "channel": "sms" if nth % 3 else "call"} for nth in range(30)]
        import_rows(world.ledger, "spring", rows)
        for _ in range(10):
            world.feed(1)
            world.work()
        of_a_message = [
            {record.channel for number, _ in message if (record := world.ledger.read(number))}
            for message in world.messages
        ]

        assert {len(channels) for channels in of_a_message} == {1}
        assert set().union(*of_a_message) == {"call", "sms"}

    def test_feeds_no_row_twice_if_an_answer_is_lost(self, world):
        world.roster("spring", 30)
        portion = batches_portion(world)
        first, second = (feed_portion(world, portion) for _ in range(2))

        assert (len(first), second) == (30, [])
        assert world.summary("spring").outcomes == {"queued": 30}

    def test_does_not_go_back_if_a_call_comes_late(self, world):
        world.roster("spring", 30)
        pages = []
        for _ in range(2):
            (batch,) = feeding.batches_to_feed(world.ledger)
            pages.append(feeding.next_page(world.ledger, batch, "sms", 15))
            feed_portion(world, pages[-1])
        late = feed_portion(world, pages[0])
        (batch,) = feeding.batches_to_feed(world.ledger)

        assert (late, batch.left["sms"]) == ([], 0)

    def test_changes_nothing_while_a_record_of_the_page_is_damaged(self, world, client):
        first, second, _ = world.roster("spring", 3)
        request = world.ledger.accept(first, token="order 17").request
        world.ledger.cancel(first, request)
        before = world.ledger.read(first)
        client.set(world.ledger.keys.record(second), "no hash")
        with pytest.raises(LedgerUnavailable):
            feed_portion(world, batches_portion(world))

        assert world.ledger.read(first) == before
        client.delete(world.ledger.keys.record(second))
        assert len(feed_portion(world, batches_portion(world))) == 3

    def test_feeds_the_other_batches_while_the_next_page_of_one_has_a_damaged_record(self, world, client, caplog):
        damaged, *_ = world.roster("spring", 3)
        others = world.roster("summer", 3)
        client.set(world.ledger.keys.record(damaged), "no hash")
        world.feed()
        client.delete(world.ledger.keys.record(damaged))

        assert [record.state for record in world.ledger.read_many([(one, None) for one in others])] == [
            State.QUEUED
        ] * 3
        assert "batch spring waits until the record of one of its next numbers is repaired" in caplog.text
        assert world.feed().rows == 3


def batches_portion(world):
    (batch,) = feeding.batches_to_feed(world.ledger)
    return feeding.next_page(world.ledger, batch, "sms", 100)


def feed_portion(world, portion):
    (batch,) = feeding.batches_to_feed(world.ledger)
    return feeding.feed_page(world.ledger, batch, "sms", portion, {})


class TestAPerson:
    def test_takes_over_a_row_which_stays_in_the_counts_and_is_sent_though_its_batch_is_cancelled(self, world):
        numbers = world.roster("spring", 20)
        world.feed()
        mine = numbers[7]
        promoted = world.person(mine)
        operations.cancel(world.ledger, "spring")
        begun = world.begin((mine, promoted.request))
        world.settle(begun, TAKEN)
        world.work()

        assert (promoted.promoted, begun.verdict) == (True, Verdict.BEGUN)
        assert world.summary("spring").outcomes == {"cancelled": 19, "code_sent": 1}

    def test_leaves_a_finished_row_its_outcome_by_a_new_request(self, world):
        numbers = world.roster("spring", 5)
        world.until_empty()
        world.feed(16 * MINUTE)
        mine = numbers[0]
        request = world.person(mine).request
        world.send((mine, request), REJECTED)

        assert world.summary("spring").outcomes == {"expired": 5}
        assert world.ledger.read(mine).batch is None

    def test_makes_a_row_in_doubt_joined_by_a_new_request(self, world):
        (mine,) = world.roster("spring", 1)
        world.feed()
        world.work(DOUBTFUL)
        assert world.summary("spring").state is BatchState.RUNNING
        world.pass_(17 * MINUTE)
        world.person(mine)

        assert world.summary("spring").outcomes == {"joined": 1}
        assert world.summary("spring").state is BatchState.COMPLETED


class TestADoubt:
    def test_is_resent_as_the_same_row(self, world):
        (number,) = world.roster("spring", 1)
        world.feed()
        world.work(DOUBTFUL)
        world.pass_(17 * MINUTE)
        end_doubt(world.ledger, world.ledger.read(number), None, hold=False)
        record = world.ledger.read(number)

        assert (record.batch, record.row, record.again) == ("spring", "sms:0:US", True)
        assert world.summary("spring").outcomes == {"queued": 1}
        world.work()
        assert world.summary("spring").outcomes == {"code_sent": 1}

    def test_of_a_cancelled_batch_is_not_resent(self, world):
        (number,) = world.roster("spring", 1)
        world.feed()
        world.work(DOUBTFUL)
        operations.cancel(world.ledger, "spring")
        world.pass_(17 * MINUTE)
        end_doubt(world.ledger, world.ledger.read(number), None, hold=False)

        assert world.summary("spring").outcomes == {"failed:in_doubt": 1}
        assert world.summary("spring").state is BatchState.CANCELLED


class TestAPause:
    def test_lets_nothing_begin_until_a_resume_lets_it_go_on_within_seconds(self, world):
        world.roster("spring", 300)
        world.feed()
        world.work(most=10)
        operations.pause(world.ledger, "spring")
        assert world.work() == []
        assert world.feed(3600).rows == 0
        held = world.summary("spring")
        operations.resume(world.ledger, "spring")
        world.feed(1)
        world.feed(1)

        assert held.outcomes == {"pending": 122, "waiting:batch_paused": 168, "expired": 10}
        assert held.held_back_by == "an operator paused the batch; to go on: ringproof batch resume spring"
        assert len(world.queue) >= 168
        assert len(world.until_empty()) == 290

    def test_takes_back_a_number_whose_slot_is_not_used_yet(self, world):
        world.roster("spring", 5)
        world.feed()
        begun = world.begin(world.queue[0])
        operations.pause(world.ledger, "spring")
        again = world.begin(world.queue[0], fence=begun.fence)

        assert (begun.verdict, again.verdict) == (Verdict.BEGUN, Verdict.LATER)
        assert world.record(world.queue[0]).state is State.QUEUED
        assert world.begin(world.queue[0]).verdict is Verdict.WAITING

    def test_moves_the_deadline_of_a_row_by_its_length(self, world):
        (number,) = world.roster("spring", 1)
        world.feed()
        ends_at = world.ledger.read(number).ends_at
        operations.pause(world.ledger, "spring")
        world.work()
        for _ in range(48):
            world.feed(3600)
        operations.resume(world.ledger, "spring")
        world.feed(1)
        record = world.ledger.read(number)

        assert abs(record.ends_at - ends_at - timedelta(hours=48)) < timedelta(seconds=5)
        assert len(world.until_empty()) == 1

    def test_stops_one_batch_and_no_other(self, world):
        world.roster("spring", 50)
        other = world.roster("summer", 50)
        world.feed()
        operations.pause(world.ledger, "spring")

        assert sorted(world.until_empty()) == sorted(other)

    def test_may_come_with_the_import(self, world):
        import_rows(world.ledger, "spring", [fresh_number()], paused=True)
        assert world.feed(1).rows == 0

        operations.resume(world.ledger, "spring")
        assert world.feed(1).rows == 1

    def test_stops_the_batch_even_right_after_a_resume(self, world):
        world.roster("spring", 5)
        world.feed()
        for ask in (operations.pause, operations.resume, operations.pause):
            ask(world.ledger, "spring")
            world.feed(1)
        assert world.work() == []

        operations.resume(world.ledger, "spring")
        assert len(world.until_empty()) == 5


class TestACancel:
    def test_ends_requests_that_have_not_begun_and_no_others(self, world):
        numbers = world.roster("spring", 300, call=10)
        world.feed()
        world.work(most=20)
        begun = next(b for b in iter(lambda: world.begin(world.queue.pop(0)), None) if b.verdict is Verdict.BEGUN)
        at_once = operations.cancel(world.ledger, "spring")
        world.settle(begun, TAKEN)
        while any(world.state_of(n) is State.QUEUED for n in numbers if world.ledger.read(n)):
            world.feed(1)

        batch = world.summary("spring")
        assert at_once.outcomes["cancelled"] == 300 - 184
        assert batch.outcomes == {"code_sent": 21, "cancelled": 279}
        assert (batch.state, batch.unfinished) == (BatchState.CANCELLED, 0)
        assert world.work() == []

    def test_ends_requests_that_wait_for_the_end_of_quiet_hours_at_once(self, world):
        numbers = world.roster("spring", 10)
        world.feed(quiet=QuietHours(time(0), time(23, 59)))
        assert {world.state_of(number) for number in numbers} == {State.WAITING}
        operations.cancel(world.ledger, "spring")
        world.feed(1)
        world.feed(1)

        assert world.summary("spring").outcomes == {"cancelled": 10}

    def test_ends_numbers_that_were_not_notified_when_they_are_begun_or_swept(self, world):
        world.roster("spring", 10)
        world.feed()
        operations.cancel(world.ledger, "spring")
        (first, *_) = world.queue
        begun = world.begin(first)
        world.pass_(31)
        swept = [entry.action for entry in work_off_agenda(world.ledger, 100, {lane: f"test.{lane}" for lane in Lane})]

        assert begun.verdict is Verdict.ENDED
        assert swept == [AgendaAction.CANCELLED] * 9
        assert world.summary("spring").outcomes == {"cancelled": 10}

    def test_of_very_many_retried_rows_does_not_block_redis(self, world, client):
        world.roster("spring", 10)
        world.until_empty(lambda _: REJECTED)
        operations.retry(world.ledger, "spring", ["rejected"])
        key, many = world.ledger.keys.batch("spring").batch, 300_000
        client.rpush(f"{key}:sms", *["US+14155550123"] * (many - 10))
        client.rpush(f"{key}:sms:again", *range(10, many))
        client.setrange(f"{key}:sms:bytes", 10, "\0" * (many - 10))
        client.hset(key, mapping={"cursor:sms": many, "open": many})
        client.hset(f"{key}:countries", "US:rows", many)
        client.slowlog_reset()
        operations.cancel(world.ledger, "spring")
        took_us = max((entry["duration"] for entry in client.slowlog_get()), default=0)

        assert world.summary("spring").outcomes == {"cancelled": many}
        assert took_us < 250_000, "one command for each place took 770 ms"

    def test_cannot_be_resumed(self, world):
        world.roster("spring", 10)
        operations.cancel(world.ledger, "spring")
        operations.resume(world.ledger, "spring")

        assert world.summary("spring").state is BatchState.CANCELLED
        assert world.until_empty() == []


class TestARetry:
    def test_feeds_the_failed_rows_once_more_and_the_batch_is_completed_again(self, world):
        numbers = world.roster("spring", 40, call=2)
        bad = set(numbers[:8])
        world.until_empty(lambda number: REJECTED if number in bad else TAKEN)
        before = world.summary("spring")
        count = operations.retry(world.ledger, "spring", ["rejected", "too_late"])
        during = world.summary("spring")
        sent = world.until_empty()

        assert (before.state, before.outcomes) == (BatchState.COMPLETED, {"code_sent": 32, "failed:rejected": 8})
        assert (count, during.state, during.fed, during.unfinished) == (8, BatchState.RUNNING, 32, 8)
        assert set(sent) == bad
        assert world.summary("spring").outcomes == {"code_sent": 40}
        assert world.summary("spring").state is BatchState.COMPLETED

    def test_of_unreachable_feeds_rows_that_have_failed_and_none_that_still_waits(self, world):
        world.roster("spring", 5)
        world.feed(1)
        gone = Outcome(State.WAITING, Reason.UNREACHABLE, "refused", timedelta(minutes=15))
        world.work(lambda _: gone)
        early = operations.retry(world.ledger, "spring", [Reason.UNREACHABLE])
        for _ in range(24 * 4 + 2):
            world.feed(15 * MINUTE)
            world.work(lambda _: gone)
        failed = world.summary("spring").outcomes
        late = operations.retry(world.ledger, "spring", [Reason.UNREACHABLE])

        assert (early, failed, late) == (0, {"failed:unreachable": 5}, 5)
        assert len(world.until_empty()) == 5
        assert world.summary("spring").outcomes == {"code_sent": 5}

    def test_of_capped_feeds_rows_that_got_no_request_because_of_a_cap(self, client, monkeypatch):
        world = Batches(client, monkeypatch, max_calls_per_week=1)
        called = fresh_number()
        world.send((called, world.person(called, channel="call").request), TAKEN)
        world.pass_(16 * MINUTE)
        import_rows(world.ledger, "spring", [{"phone": called, "channel": "call"}])
        world.feed()
        before = world.summary("spring").outcomes
        world.pass_(8 * 86_400)

        assert before == {"capped:calls_per_week": 1}
        assert operations.retry(world.ledger, "spring", [Reason.CAPPED]) == 1
        assert world.until_empty() == [called]

    def test_for_reasons_that_no_row_has_changes_nothing(self, world):
        world.roster("spring", 5)
        world.until_empty()

        assert operations.retry(world.ledger, "spring", ["rejected", "no such reason"]) == 0
        assert world.summary("spring").state is BatchState.COMPLETED

    def test_of_a_single_row_completes_the_batch_only_when_the_row_has_an_outcome(self, world):
        world.roster("spring", 1)
        world.until_empty(REJECTED)
        operations.retry(world.ledger, "spring", ["rejected"])
        world.feed()
        assert (world.summary("spring").state, world.summary("spring").unfinished) == (BatchState.RUNNING, 1)

        world.until_empty()
        assert world.summary("spring").state is BatchState.COMPLETED

    def test_does_not_feed_a_row_that_has_got_an_outcome_since_an_earlier_retry(self, world):
        mine, other = world.roster("spring", 2)
        forbidden = Outcome(State.FAILED, Reason.FORBIDDEN)
        world.until_empty(lambda number: REJECTED if number == mine else forbidden)
        operations.retry(world.ledger, "spring", ["rejected"])
        request = world.person(mine).request  # before the feeder comes to the row
        assert world.summary("spring").state is BatchState.COMPLETED
        world.ledger.cancel(mine, request)
        operations.retry(world.ledger, "spring", ["forbidden"])

        assert world.until_empty() == [other]
        assert world.summary("spring").outcomes == {"joined": 1, "code_sent": 1}
        assert world.summary("spring").state is BatchState.COMPLETED

    def test_that_is_cancelled_leaves_the_rows_cancelled(self, world):
        world.roster("spring", 10)
        world.until_empty(REJECTED)
        operations.retry(world.ledger, "spring", ["rejected"])
        operations.cancel(world.ledger, "spring")

        assert world.summary("spring").outcomes == {"cancelled": 10}


class TestAnImport:
    def test_has_no_row_fed_before_its_end(self, world):
        with begin_import(world.ledger, "spring", fingerprint="f") as importing:
            for row in rows_of([fresh_number() for _ in range(1500)]):
                importing.add(row)
            assert world.feed().rows == 0
            assert world.summary("spring").state is BatchState.IMPORTING
            importing.finish()

        assert world.feed().rows > 0

    def test_that_is_cut_short_continues_where_it_was(self, world):
        numbers = [fresh_number() for _ in range(3500)]
        already = [cut_short(world, numbers, at) for at in (1700, 3200, 3100)]
        import_rows(world.ledger, "spring", numbers)

        assert already == [0, 1000, 3000]
        assert [row.number for row in batch_rows(world.ledger, "spring")] == numbers

    def test_does_not_continue_with_other_rows(self, world):
        numbers = [fresh_number() for _ in range(1200)]
        cut_short(world, numbers, 1100)
        for others in ([fresh_number(), *numbers], [fresh_number()], numbers[:999]):
            with pytest.raises(BatchExists, match="other"):
                import_rows(world.ledger, "spring", others)
        import_rows(world.ledger, "spring", numbers)

        assert world.summary("spring").rows == 1200

    @pytest.mark.parametrize(("fingerprint", "reason"), [("f", "the same"), ("g", "other"), (None, "other")])
    def test_of_a_name_that_is_taken_is_refused_with_a_remedy(self, world, fingerprint, reason):
        with begin_import(world.ledger, "spring", fingerprint="f") as one:
            one.finish()

        with pytest.raises(BatchExists) as refused:
            begin_import(world.ledger, "spring", fingerprint=fingerprint)
        assert reason in refused.value.remedy

    def test_beside_another_of_the_same_batch_is_refused(self, world):
        with begin_import(world.ledger, "spring", fingerprint="f"), pytest.raises(BatchBusy):
            begin_import(world.ledger, "spring", fingerprint="f")

    def test_that_was_taken_over_adds_no_row(self, world, client):
        numbers = [fresh_number() for _ in range(1500)]
        late = begin_import(world.ledger, "spring", fingerprint="f")
        for row in rows_of(numbers):
            late.add(row)
        client.delete(world.ledger.keys.batch("spring").importer)  # as after the timeout
        with begin_import(world.ledger, "spring", fingerprint="f") as quicker:
            with pytest.raises(BatchBusy):
                late.finish()
            for row in rows_of(numbers):
                quicker.add(row)
            quicker.finish()

        with pytest.raises(BatchBusy):
            late.finish()
        late.abandon()
        assert world.summary("spring").rows == 1500

    def test_that_is_abandoned_leaves_nothing(self, world, client):
        with begin_import(world.ledger, "spring", fingerprint="f") as importing:
            for row in rows_of([fresh_number() for _ in range(1500)]):
                importing.add(row)
            importing.abandon()

        assert batch_names(world.ledger) == []
        assert not list(client.scan_iter(f"{world.prefix}:batch*"))

    def test_lists_the_newest_first(self, world):
        for name in ("spring", "summer", "autumn"):
            world.roster(name, 1)
            world.pass_(1)

        assert batch_names(world.ledger) == ["autumn", "summer", "spring"]


class TestFromPython:
    def test_a_roster_is_imported_by_one_call_which_reports_the_rejects(self, caplog):
        good, name = [fresh_number() for _ in range(3)], f"python {fresh_number()[-7:]}"
        rejected = []
        batch = import_roster(iter([*good, "12", ""]), name, paused=True, rejected=rejected.append)
        with pytest.raises(BatchExists):
            import_roster(good, name)
        operations.cancel(runtime.ledger(), name)

        assert (batch.rows, batch.state, batch.name) == (3, BatchState.PAUSED, name)
        assert [reject.line for reject in rejected] == [4, 5]
        assert not caplog.records

    @pytest.mark.parametrize("rows", ["+14155550123", b"+14155550123", {"phone": "+14155550123"}, ["12", "13"], []])
    def test_an_import_without_a_valid_row_leaves_no_batch(self, rows):
        name = f"python {fresh_number()[-7:]}"
        with pytest.raises(InvalidRoster):
            import_roster(rows, name)

        assert name not in batch_names(runtime.ledger())

    def test_rejects_without_a_callback_are_counted_in_the_log(self, caplog):
        name = f"python {fresh_number()[-7:]}"
        import_roster([{"phone": fresh_number()}, {"phone": "12"}, {"phone": None}, {"phone": "-"}], name, paused=True)
        operations.cancel(runtime.ledger(), name)

        assert caplog.messages == [f"batch {name}: rejected rows: 1 (no_country 1); rows without a number: 2"]

    def test_rows_without_a_number_are_no_errors_to_correct(self):
        with pytest.raises(InvalidRoster, match=r"rows without a number: 2: say which column has the numbers"):
            import_roster([{"phone": ""}, {"phone": "n/a"}], "nobody")

    @pytest.mark.parametrize("count", [1, 18])
    def test_rows_whose_plus_was_lost_are_counted_with_what_to_do(self, count):
        with pytest.raises(InvalidRoster, match=rf"use plus=True if the \+ was lost \(rows that look so: {count}\)"):
            import_roster([f"4917167831{at:02d}" for at in range(count)], "lost", region="US")

    def test_a_producer_of_single_numbers_does_not_load_the_rosters(self):
        look = "print('ringproof.rosters.roster' in sys.modules)"
        code = f"import sys, tasks; {look}; tasks.import_roster; {look}"
        output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

        assert output.stdout.split() == ["False", "True"]


def cut_short(world, numbers, at):
    """Import rows until an error at one of them; return how many rows were stored before."""

    def rows():
        yield from numbers[:at]
        raise ZeroDivisionError

    already = world.ledger.run_all(("llen", world.ledger.keys.batch("spring").lists[0]))[0]
    with pytest.raises(ZeroDivisionError):
        import_rows(world.ledger, "spring", rows())
    return already


def rows_of(numbers):
    return list(roster_of(numbers))


class TestAnEndedBatch:
    @staticmethod
    def kept(world, client):
        """For how long each key of spring is kept; -1 is for good."""
        return {client.pttl(key) for key in client.scan_iter(f"{world.prefix}:batch:spring*")}

    @staticmethod
    def forget(world, client):
        """Let that time pass."""
        client.delete(*client.scan_iter(f"{world.prefix}:batch:spring*"))

    @pytest.mark.parametrize("end", [Batches.until_empty, lambda world: operations.cancel(world.ledger, "spring")])
    def test_is_kept_for_as_many_days_as_records_are(self, client, monkeypatch, end):
        world = Batches(client, monkeypatch, record_ms=3 * 86_400_000)
        world.roster("spring", 20, call=2)
        world.feed()
        before = self.kept(world, client)
        end(world)

        assert before == {-1}
        assert all(2.9 * 86_400_000 < ms <= 3 * 86_400_000 for ms in self.kept(world, client))

    def test_is_kept_for_good_while_it_is_retried(self, world, client):
        world.roster("spring", 10, call=2)
        world.until_empty(lambda _: REJECTED)
        operations.retry(world.ledger, "spring", ["rejected"])
        during = self.kept(world, client)
        world.until_empty()

        assert during == {-1}
        assert min(self.kept(world, client)) > 0

    def test_expires_whole_even_if_its_numbers_change_later(self, world, client):
        world.roster("spring", 10)
        world.roster("summer", 1)
        world.until_empty()
        self.forget(world, client)
        world.feed(16 * MINUTE)  # the codes expire

        assert self.kept(world, client) == set()
        assert batch_names(world.ledger) == ["summer"]
        assert client.zcard(world.ledger.keys.batches) == 1

    def test_leaves_its_name_to_a_new_batch_which_its_numbers_do_not_change(self, world, client):
        number, later = world.roster("spring", 2)
        world.until_empty()
        self.forget(world, client)
        world.pass_(90 * 86_400)
        world.roster("spring", 2)
        world.person(number)
        world.feed(1)
        world.work()

        assert world.summary("spring").outcomes == {"code_sent": 2}
        assert world.state_of(later) is State.EXPIRED

    def test_that_expires_before_all_numbers_are_notified_does_not_stop_the_feeder(self, world, client):
        world.roster("spring", 10)
        world.feed()
        operations.cancel(world.ledger, "spring")
        self.forget(world, client)
        world.roster("summer", 1)

        assert len(world.until_empty()) >= 1
        assert world.summary("summer").state is BatchState.COMPLETED
        assert client.zcard(world.ledger.keys.feeding) == 0

    def test_counts_its_rows_even_if_the_clock_was_put_back_after_its_import(self, world):
        world.roster("spring", 10)
        world.pass_(-3600)
        world.until_empty()

        assert world.summary("spring").state is BatchState.COMPLETED


class TestRowBytes:
    def test_are_different_for_each_outcome_of_a_row(self):
        assert len(set(BYTES.values())) == len(BYTES)
        assert all(len(byte.encode()) == 1 for byte in BYTES.values())
        waiting = {Reason.PAUSED, Reason.PACE, Reason.COOLDOWN, Reason.CAP, Reason.QUIET_HOURS, Reason.UNREACHABLE}
        failed = {
            Reason.UNREACHABLE,
            Reason.REJECTED,
            Reason.FORBIDDEN,
            Reason.CAPPED,
            Reason.TOO_LATE,
            Reason.IN_DOUBT,
        }
        wanted = {f"waiting:{one}" for one in waiting | {Reason.BATCH_PAUSED}}
        wanted |= {f"failed:{one}" for one in failed | {Reason.CRASHES_WORKER}} | {"in_doubt:worker_lost"}
        assert set(State) | wanted <= set(BYTES)

    def test_show_which_rows_have_no_outcome_yet(self):
        names = {outcome.split(":")[0] for outcome, byte in BYTES.items() if byte in UNFINISHED_BYTES}

        assert names == {"queued", "waiting", "sending", "in_doubt"}

    @pytest.mark.parametrize("alias", [None, "A", "Zoë & 東京", "a, b; c"])
    @pytest.mark.parametrize("subaccount", [None, "SAXXXXXXXXXXXXXXXXXX"])
    @pytest.mark.parametrize("country", [None, "US", "001"])
    def test_belong_to_rows_that_unpack_to_what_was_packed(self, alias, subaccount, country):
        batch = unpack_row(pack_row("+14155550123", country, alias, subaccount))

        assert batch == (country or "", "+14155550123", alias or "", subaccount or "")


def test_a_pending_row_takes_no_more_than_80_bytes(world, client):
    rows = [
        {"phone": f"+1415{2_000_000 + nth}", "alias": f"Ann {nth}" if nth % 10 == 0 else ""} for nth in range(100_000)
    ]
    import_rows(world.ledger, "spring", rows)
    used = sum(
        client.memory_usage(key, samples=0)
        for pattern in ("batch*", "feeding")
        for key in client.scan_iter(f"{world.prefix}:{pattern}")
    )
    print(f"{used / 100_000:.1f} bytes a row")

    assert used / 100_000 <= 80
