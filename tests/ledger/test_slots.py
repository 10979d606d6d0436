"""Slots and turns in simulated time: which lane gets which share of the pace, and how often callers ask."""

import itertools
import random
from collections import Counter
from datetime import timedelta

import pytest
from support.simulation import SECOND, Simulation

from ringproof.batches.erasure import erase_number
from ringproof.clock import moment
from ringproof.ledger import control
from ringproof.ledger.answers import Outcome, PlivoSignal, Verdict
from ringproof.ledger.pace import replace_slots
from ringproof.ledger.record import Lane, Reason, State
from ringproof.policy import JITTER, Policy, Rate
from worker.sending.senders import LONGEST_LEAD_SECONDS


def over(rate, slots):
    """Count the slots with N others before them in a window, if the earlier ones arrive late by the jitter."""
    jitter = JITTER // timedelta(microseconds=1)
    return sum(b - a - jitter < rate.window_us for a, b in zip(slots, slots[rate.number :], strict=False))


@pytest.mark.parametrize("rate", ["300/5s", "100/1s", "2/1s", "1/2s", "1000/1s"])
@pytest.mark.parametrize("bookers", [1, 4])
def test_bulk_uses_the_whole_pace_and_asks_little_more_than_once_for_each_number(client, rate, bookers):
    simulation = Simulation(client, rate)
    count = 100 if simulation.rate.spacing_us > SECOND / 10 else 600
    for _ in range(bookers):
        simulation.booker(simulation.numbers(count // bookers))
    simulation.run()

    slots = simulation.all_slots()
    assert len(slots) == count
    assert over(simulation.rate, slots) == 0
    assert simulation.used() > 0.97
    assert simulation.asked <= 1.2 * count


def test_chunks_of_a_hundred_ask_no_more_often(client):
    simulation = Simulation(client)
    for start in range(8):
        simulation.booker(simulation.numbers(100), when_us=simulation.now_us + start * SECOND)
    simulation.run()

    assert simulation.used() > 0.97
    assert simulation.asked <= 1.1 * 800


def test_a_person_overtakes_bulk(client):
    simulation = Simulation(client)
    for _ in range(4):
        simulation.booker(simulation.numbers(150))
    asked = [simulation.now_us + SECOND + n * SECOND // 10 for n in range(60)]
    for when in asked:
        simulation.person(when)
    simulation.run()

    waits = sorted(slot - when for slot, when in zip(sorted(simulation.slots[Lane.INTERACTIVE]), asked, strict=True))
    assert waits[-1] <= 2 * simulation.rate.spacing_us + 20_000
    assert simulation.used() > 0.97


@pytest.mark.parametrize("lane", [Lane.BULK, Lane.SCHEDULED])
def test_each_lane_has_its_tenth_beside_any_number_of_persons(client, lane):
    simulation = Simulation(client)
    start = simulation.now_us
    for n in range(1600):  # 100 a second of 59
        simulation.person(start + n * SECOND // 100)
    for _ in range(4):
        simulation.booker(simulation.numbers(50, lane), lane)
    simulation.run(start + 15 * SECOND)

    steady = [slot for slot in simulation.all_slots() if start + 9.5 * SECOND < slot < start + 19.5 * SECOND]
    within = [slot for slot in simulation.slots[lane] if steady[0] <= slot <= steady[-1]]
    assert 0.1 <= len(within) / len(steady) < 0.13
    assert simulation.used(steady) > 0.97


def test_schedule_comes_before_bulk_which_keeps_its_tenth(client):
    simulation = Simulation(client)
    start = simulation.now_us
    for _ in range(2):
        simulation.booker(simulation.numbers(300, Lane.SCHEDULED), Lane.SCHEDULED)
        simulation.booker(simulation.numbers(300))
    simulation.run(start + 8 * SECOND)

    bulk, all_of_them = len(simulation.slots[Lane.BULK]), len(simulation.all_slots())
    assert 0.1 <= bulk / all_of_them < 0.13
    assert simulation.used() > 0.97


def test_bulk_has_the_whole_pace_when_no_other_lane_needs_it(client):
    simulation = Simulation(client)
    simulation.booker(simulation.numbers(20, Lane.SCHEDULED), Lane.SCHEDULED)
    simulation.booker(simulation.numbers(300))
    simulation.run()

    assert simulation.used() > 0.97


@pytest.mark.parametrize("way_us", [0, 50_000])
def test_bulk_that_needs_time_until_it_can_send_misses_no_slot_and_uses_the_whole_pace(client, way_us):
    simulation = Simulation(client)
    simulation.lead = LONGEST_LEAD_SECONDS
    for _ in range(2):
        simulation.booker(simulation.numbers(300), way_us=way_us)
    simulation.run()

    assert simulation.missed == 0
    assert simulation.used() > 0.97


def test_each_person_beyond_the_horizon_waits_for_a_turn_of_their_own(client):
    simulation = Simulation(client, "10/1s")
    for request in simulation.numbers(100, Lane.INTERACTIVE):
        simulation.booker([request], Lane.INTERACTIVE)
    simulation.run()

    assert len(simulation.slots[Lane.INTERACTIVE]) == pytest.approx(5 * SECOND / 106_000, abs=2)
    waiting = [
        record
        for key in client.scan_iter(simulation.keys.record("*"))
        if (record := simulation.ledger.read(key.rpartition(":")[2])).state is State.WAITING
    ]
    due = sorted(record.due_at for record in waiting)
    assert {record.reason for record in waiting} == {Reason.PACE}
    assert {(b - a) // timedelta(milliseconds=1) for a, b in itertools.pairwise(due)} <= {106, 107, 105}


class TestFarFromRedis:
    """Callers whose calls and answers take some way: what the pace gives them, they can still use."""

    @pytest.mark.parametrize("rate", ["300/5s", "2/1s"])
    @pytest.mark.parametrize("round_trip_ms", [40, 100, 400])
    @pytest.mark.parametrize("bookers", [1, 4])
    def test_bulk_uses_the_whole_pace_and_misses_no_slot(self, client, rate, round_trip_ms, bookers):
        simulation = Simulation(client, rate)
        simulation.portion = 60  # in one round trip of 400 ms
        count = 60 if simulation.rate.spacing_us > SECOND / 10 else 300
        for _ in range(bookers):
            simulation.booker(simulation.numbers(count // bookers), way_us=round_trip_ms * 500)
        simulation.run()

        slots = simulation.all_slots()
        assert over(simulation.rate, slots) == simulation.missed == 0
        assert simulation.used() > 0.97
        assert simulation.asked <= 1.2 * count

    def test_a_near_caller_reserves_as_far_ahead_as_a_far_one_needs(self, client):
        simulation = Simulation(client)
        for way_us in (0, 0, 50_000, 50_000):
            simulation.booker(simulation.numbers(150), way_us=way_us)
        simulation.run()

        assert simulation.missed == 0
        assert simulation.used(simulation.all_slots()[10:]) > 0.97

    def test_people_near_and_far_get_the_next_slots_beside_bulk(self, client):
        simulation = Simulation(client)
        for way_us in (0, 50_000):
            simulation.booker(simulation.numbers(300), way_us=way_us)
        asked = [simulation.now_us + SECOND + n * SECOND // 10 for n in range(60)]
        for n, when in enumerate(asked):
            simulation.person(when, way_us=50_000 * (n % 2))
        simulation.run()

        waits = sorted(
            slot - when for slot, when in zip(sorted(simulation.slots[Lane.INTERACTIVE]), asked, strict=True)
        )
        assert waits[-1] <= 50_000 + 150_000 + 2 * simulation.rate.spacing_us + 20_000
        assert simulation.missed == 0
        assert simulation.used(simulation.all_slots()[10:]) > 0.97

    def test_a_schedule_far_away_comes_before_bulk_and_bulk_keeps_its_tenth(self, client):
        simulation = Simulation(client)
        start = simulation.now_us
        for _ in range(2):
            simulation.booker(simulation.numbers(300, Lane.SCHEDULED), Lane.SCHEDULED, way_us=50_000)
            simulation.booker(simulation.numbers(300), way_us=50_000)
        simulation.run(start + 8 * SECOND)

        bulk, all_of_them = len(simulation.slots[Lane.BULK]), len(simulation.all_slots())
        assert 0.1 <= bulk / all_of_them < 0.15
        assert simulation.missed == 0
        assert simulation.used() > 0.97

    def test_no_caller_gets_a_slot_that_has_passed_when_the_answer_comes(self, client):
        simulation = Simulation(client)
        simulation.pass_(60)
        simulation.far_from_redis(200_000)
        person, bulk = (simulation.numbers(1, lane)[0] for lane in (Lane.INTERACTIVE, Lane.BULK))

        assert simulation.begin(person).at_us == simulation.now_us + 200_000
        assert simulation.begin(bulk).at_us == simulation.now_us + 200_000 + simulation.rate.spacing_us
        record = simulation.record(person)
        simulation.pass_(60)
        assert replace_slots(simulation.ledger, [(record, simulation.now_us - 60 * SECOND)])[0] is not None
        assert simulation.slots_from("account") == simulation.now_us + 200_000 + simulation.rate.spacing_us

    def test_the_horizon_is_as_before_soon_after_the_last_far_caller(self, client):
        simulation = Simulation(client)
        simulation.pass_(60)

        def reserved_ahead():
            """Have a near caller reserve all that it may, and return how far the last of these slots is."""
            slots = [begun.at_us for begun in simulation.ledger.begin(simulation.numbers(20)) if begun.fence]
            return max(slots) - simulation.now_us

        usual = reserved_ahead()
        simulation.pass_(60)
        simulation.far_from_redis(50_000)
        simulation.begin(simulation.numbers(1)[0])
        simulation.far_from_redis(0)
        simulation.pass_(5)
        beside_a_far_one = reserved_ahead()
        simulation.pass_(6)

        assert usual < 50_000
        assert beside_a_far_one > 150_000
        assert reserved_ahead() == usual

    def test_a_429_and_a_pause_revoke_what_a_far_caller_has_reserved_ahead(self, client):
        simulation = Simulation(client)
        simulation.pass_(60)
        simulation.far_from_redis(50_000)
        first, *others = simulation.ledger.begin(simulation.numbers(6))
        assert {begun.verdict for begun in others} == {Verdict.BEGUN}
        simulation.settle(first, Outcome(State.WAITING, Reason.PACE, plivo_signal=PlivoSignal.THROTTLED))
        again = simulation.begin((others[0].record.phone_number, others[0].record.request), fence=others[0].fence)
        control.pause(simulation.ledger)

        assert again.verdict is Verdict.LATER
        held = simulation.begin((others[1].record.phone_number, others[1].record.request), fence=others[1].fence)
        assert held.verdict is Verdict.LATER


class TestTheLine:
    """People whose slot is not near stand in a line, and nobody in it has a slot or a turn."""

    def people(self, simulation, count, channel="sms"):
        """Have so many people ask, a millisecond apart; return their requests."""
        requests = []
        for _ in range(count):
            simulation.pass_(0.001)
            requests += simulation.numbers(1, Lane.INTERACTIVE, channel)
            simulation.booker(requests[-1:], Lane.INTERACTIVE)
        return requests

    def pass_on(self, simulation, seconds):
        simulation.run(simulation.now_us + int(seconds * SECOND))

    def states(self, simulation, requests):
        return Counter(record.state for record in map(simulation.record, requests))

    def test_all_people_are_sent_to_soon_after_a_slow_rate_was_ended(self, client):
        simulation = Simulation(client)
        people = self.people(simulation, 60)
        control.override_rates(simulation.ledger, timedelta(hours=1), rate=Rate.parse("1/60s"))
        self.pass_on(simulation, 100)
        assert self.states(simulation, people)[State.WAITING] == 59
        control.restore_rates(simulation.ledger)
        people += self.people(simulation, 1)
        self.pass_on(simulation, 10)

        assert set(self.states(simulation, people)) <= {State.SENDING, State.IN_DOUBT}
        assert max(simulation.slots[Lane.INTERACTIVE]) < simulation.now_us

    def test_a_turn_never_lies_beyond_the_requests_own_end(self, client):
        simulation = Simulation(client)
        people = self.people(simulation, 30)
        control.override_rates(simulation.ledger, timedelta(hours=1), rate=Rate.parse("1/60s"))
        self.pass_on(simulation, 60)
        records = [simulation.record(one) for one in people]

        assert sum(record.state is State.WAITING for record in records) > 15
        assert all(record.due_at <= record.ends_at for record in records if record.state is State.WAITING)

    @pytest.mark.parametrize("end", ["cancelled", "erased", "too late"])
    def test_those_who_leave_the_line_leave_no_gap(self, client, end):
        simulation = Simulation(client, "10/1s")
        people = self.people(simulation, 250)
        self.pass_on(simulation, 1)
        waiting = [one for one in people if simulation.record(one).state is State.WAITING]
        for one in waiting:
            if end == "cancelled":
                simulation.ledger.cancel(*one)
            elif end == "erased":
                erase_number(simulation.ledger, one[0])
        if end == "too late":
            control.override_rates(simulation.ledger, timedelta(minutes=16), rate=Rate.parse("1/600s"))
            self.pass_on(simulation, 17 * 60)
        self.pass_on(simulation, 1)
        (last,) = self.people(simulation, 1)
        self.pass_on(simulation, 4)

        assert len(waiting) > 150
        assert client.zcard(simulation.keys.line("sms")) == client.zcard(simulation.keys.called("sms")) == 0
        assert simulation.record(last).state is State.SENDING

    def test_those_whose_worker_died_after_their_call_lose_their_place_to_the_others(self, client):
        simulation = Simulation(client, "10/1s")
        people = self.people(simulation, 100)
        control.override_rates(simulation.ledger, timedelta(hours=1), rate=Rate.parse("1/60s"))
        self.pass_on(simulation, 2)
        control.restore_rates(simulation.ledger)
        simulation.sweep()
        dead = [request for _, _, requests, _, _ in simulation.events for request in requests]
        assert 40 < len(dead) < 50, "as many as have a slot within the horizon"
        simulation.events.clear()
        asked_us = simulation.now_us
        self.pass_on(simulation, 15)

        alive = [one for one in people if one not in dead]
        assert self.states(simulation, alive) == {State.SENDING: len(alive)}
        lease = simulation.ledger.durations.lease
        last = max(simulation.ledger.read(number).lease_until - lease for number, _ in alive)
        assert last - moment(asked_us // 1000) < timedelta(seconds=13)
        assert State.SENDING in self.states(simulation, dead), "their messages come again after 10 s"

    def test_people_are_sent_to_in_the_order_in_which_they_asked_and_at_the_whole_pace(self, client):
        simulation = Simulation(client, "10/1s")
        people = self.people(simulation, 150)
        self.pass_on(simulation, 20)

        leases = [simulation.record(one).lease_until for one in people]
        in_order = sorted(leases)
        assert all(abs(in_order.index(lease) - n) <= 11 for n, lease in enumerate(leases)), "but for those of one tick"
        assert simulation.used() > 0.99
        assert over(simulation.rate, simulation.all_slots()) == 0
        assert simulation.asked <= 2.2 * 150

    def test_a_place_in_the_line_is_kept_while_others_ask(self, client):
        simulation = Simulation(client, "10/1s")
        waiting = self.people(simulation, 80)[-1]
        self.pass_on(simulation, 1)
        due_at = simulation.record(waiting).due_at
        self.people(simulation, 100)
        self.pass_on(simulation, 5)

        assert simulation.record(waiting).state is State.SENDING
        assert simulation.record(waiting).lease_until - simulation.ledger.durations.lease < due_at + timedelta(
            seconds=5.5
        )


class TestCalls:
    SPACING_US = 530_000

    def calls_in_bulk(self, simulation, count=340):
        for _ in range(8):
            simulation.booker(simulation.numbers(count // 8, channel="call"))

    def people(self, simulation, count, every_us=SECOND):
        """Have so many people ask for a call, from a second on; return when each asks."""
        asked = [simulation.now_us + SECOND + n * every_us + n % 7 * 31_000 for n in range(count)]
        requests = simulation.numbers(count, Lane.INTERACTIVE, "call")
        for when, request in zip(asked, requests, strict=True):
            simulation.booker([request], Lane.INTERACTIVE, when)
        return asked

    def test_people_come_before_bulk(self, client):
        simulation = Simulation(client)
        self.calls_in_bulk(simulation)
        asked = self.people(simulation, 45)
        simulation.run(simulation.now_us + 50 * SECOND)

        slots = sorted(simulation.slots[Lane.INTERACTIVE])
        waits = [slot - when for slot, when in zip(slots, asked, strict=True)]
        assert max(waits) <= 2 * self.SPACING_US + SECOND
        calls = simulation.all_slots()
        assert (len(calls) - 1) * self.SPACING_US / (calls[-1] - calls[0]) > 0.94
        assert over(Rate.parse("2/1s"), calls) == 0

    def test_bulk_has_its_tenth_beside_any_number_of_people(self, client):
        simulation = Simulation(client)
        start = simulation.now_us
        self.calls_in_bulk(simulation)
        self.people(simulation, 180, SECOND // 3)
        simulation.run(start + 60 * SECOND)

        calls = simulation.all_slots()
        bulk = len(simulation.slots[Lane.BULK])
        assert 0.08 <= bulk / len(calls) < 0.15
        assert (len(calls) - 1) * self.SPACING_US / (calls[-1] - calls[0]) > 0.94

    def test_calls_of_people_go_on_beside_a_crowd_that_asks_for_texts(self, client):
        simulation = Simulation(client, "20/1s")
        start = simulation.now_us
        for n in range(440):  # 40 a second of 19
            simulation.person(start + n * SECOND // 40)
        asked = self.people(simulation, 9)
        simulation.run(start + 17 * SECOND)

        calls = [
            record.lease_until - simulation.ledger.durations.lease
            for key in client.scan_iter(simulation.keys.record("*"))
            if (record := simulation.ledger.read(simulation.keys.number(key))).channel == "call"
            and record.state is State.SENDING
        ]
        assert len(calls) == len(asked)

    @pytest.mark.parametrize("lane", Lane)
    def test_a_call_takes_a_slot_of_both_buckets_and_costs_texts_next_to_nothing(self, client, lane):
        simulation = Simulation(client)
        simulation.booker(
            simulation.numbers(15, lane, "call"), Lane.INTERACTIVE
        )  # so that their slots are apart from the others
        for _ in range(2):
            simulation.booker(simulation.numbers(200))
        simulation.run()

        calls = simulation.slots[Lane.INTERACTIVE]
        assert {b - a >= 530_000 for a, b in itertools.pairwise(calls)} == {True}
        assert (len(calls) - 1) * 530_000 / (calls[-1] - calls[0]) > 0.94, "each waits for one or two texts"
        texts = simulation.slots[Lane.BULK]
        during = [slot for slot in simulation.all_slots() if slot <= texts[-1]]
        assert simulation.used(during) > 0.97
        assert min(b - a for a, b in itertools.pairwise(simulation.all_slots())) >= simulation.rate.spacing_us

    def test_calls_of_many_persons_wait_for_their_slot_or_for_the_agenda(self, client):
        simulation = Simulation(client)
        for _ in range(15):
            simulation.person(simulation.now_us, "call")
        simulation.run()

        calls = simulation.slots[Lane.INTERACTIVE]
        assert len(calls) == 4, "those of two seconds: no more of them keep a child busy"
        assert simulation.asked <= 15 + 3

    def test_a_call_holds_its_slot_and_leaves_those_before_it_to_texts(self, client):
        simulation = Simulation(client)
        calls = [simulation.begin(one).at_us for one in simulation.numbers(3, Lane.INTERACTIVE, "call")]
        texts = [begun.at_us for begun in simulation.ledger.begin(simulation.numbers(100, Lane.INTERACTIVE))]
        slots = sorted(calls + texts)

        assert texts[0] == calls[0] + simulation.rate.spacing_us
        assert texts[-1] > calls[-1] > texts[50]
        assert min(b - a for a, b in itertools.pairwise(slots)) >= simulation.rate.spacing_us
        assert slots[-1] - slots[0] <= 104 * simulation.rate.spacing_us, "the grid has next to no gap"

    def test_a_late_call_delays_the_next_ones_by_no_more_than_it_is_late(self, client):
        simulation = Simulation(client)
        begun = simulation.begin(*simulation.numbers(1, Lane.INTERACTIVE, "call"))
        simulation.pass_(0.1)
        account = simulation.slots_from("account")

        slot = replace_slots(simulation.ledger, [(begun.record, begun.at_us)])[0]
        assert slot.at_us == simulation.now_us >= account
        assert simulation.slots_from("call") == slot.at_us + 530_000
        assert simulation.slots_from("account") == slot.at_us + simulation.rate.spacing_us

    def test_a_call_that_is_late_by_more_than_the_next_slot_takes_that(self, client):
        simulation = Simulation(client)
        first, second = simulation.numbers(2, Lane.INTERACTIVE, "call")
        begun = simulation.begin(first)
        next_one = simulation.begin(second)
        simulation.pass_(0.6)

        slot = replace_slots(simulation.ledger, [(begun.record, begun.at_us)])[0]
        assert slot.at_us == next_one.at_us + 530_000

    def test_a_call_that_missed_its_slot_does_not_keep_texts_waiting(self, client):
        simulation = Simulation(client)
        simulation.ledger.publish_policy(Policy(call_rate=Rate.parse("1/60s"), range_codes_per_hour=0))
        simulation.begin(*simulation.numbers(1))
        simulation.pass_(61)
        late, next_one = simulation.numbers(2, Lane.INTERACTIVE, "call")
        begun = simulation.begin(late)
        simulation.pass_(59)
        assert simulation.begin(next_one).verdict is Verdict.BEGUN
        simulation.pass_(1)

        assert replace_slots(simulation.ledger, [(begun.record, begun.at_us)])[0] is None
        assert simulation.begin(*simulation.numbers(1)).wait == timedelta()
        simulation.pass_(60)
        assert replace_slots(simulation.ledger, [(begun.record, begun.at_us)])[0] is not None


class TestAMissedSlot:
    """What a send that has missed its slot costs the pace: the time by which it is late, and no slot."""

    @pytest.mark.parametrize(("rate", "used"), [("300/5s", 0.92), ("100/1s", 0.87), ("2/1s", 0.99), ("1/2s", 0.99)])
    def test_no_window_has_too_many_slots_and_little_of_the_pace_is_lost(self, client, rate, used):
        simulation = Simulation(client, rate)
        simulation.late_share = 0.15
        count = 100 if simulation.rate.spacing_us > SECOND / 10 else 600
        for _ in range(2):
            simulation.booker(simulation.numbers(count // 2))
        simulation.run()

        slots = simulation.all_slots()
        assert len(slots) == count
        assert over(simulation.rate, slots) == 0
        assert simulation.used() > used

    @pytest.mark.parametrize("call_rate", ["2/1s", "1/2s"])
    def test_of_a_call_costs_the_pace_of_calls_little(self, client, call_rate):
        simulation, rate = Simulation(client, call_rate=Rate.parse(call_rate)), Rate.parse(call_rate)
        simulation.late_share = 0.15
        for _ in range(2):
            simulation.booker(simulation.numbers(40, channel="call"))
        simulation.run()

        calls = simulation.all_slots()
        assert len(calls) == 80
        assert over(rate, calls) == 0
        assert (len(calls) - 1) * rate.spacing_us / (calls[-1] - calls[0]) > 0.95

    @pytest.mark.parametrize("rate", ["300/5s", "10/1s", "2/1s"])
    def test_no_window_has_too_many_slots_beside_people_and_calls(self, client, rate):
        simulation = Simulation(client, rate, call_rate=Rate.parse("2/1s"))
        simulation.late_share = 0.2
        start = simulation.now_us
        for n in range(60):
            simulation.person(start + n * SECOND // 4, "call" if n % 5 == 0 else "sms")
        for channel in ("sms", "call"):
            simulation.booker(simulation.numbers(100, channel=channel))
        simulation.run(start + 30 * SECOND)

        assert over(simulation.rate, simulation.all_slots()) == 0

    def late(self, simulation, seconds, *, beside=()):
        """Have a send miss its slot, and return by how many seconds the next free slot moves with that."""
        (request,) = simulation.numbers(1)
        begun = simulation.begin(request)
        for one in beside:
            simulation.begin(one)
        simulation.at(begun.at_us)
        simulation.pass_(seconds)
        before = simulation.slots_from("account")
        slot = replace_slots(simulation.ledger, [(begun.record, begun.at_us)])[0]
        return slot.at_us - begun.at_us, simulation.slots_from("account") - before

    def test_several_get_their_slots_in_one_call_and_one_that_is_paused_gets_none(self, client):
        simulation = Simulation(client)
        late = [simulation.begin(request) for request in simulation.numbers(2)]
        late.insert(1, simulation.begin(*simulation.numbers(1, Lane.SCHEDULED)))
        control.pause(simulation.ledger, Lane.SCHEDULED)
        simulation.at(late[-1].at_us)
        simulation.pass_(0.008)
        slots = replace_slots(simulation.ledger, [(begun.record, begun.at_us) for begun in late])

        assert slots[0].at_us == late[1].at_us + simulation.rate.spacing_us, "it is late by more than a slot"
        assert slots[1] is None
        assert slots[2].at_us == simulation.now_us

    def test_is_used_a_little_later_and_what_nobody_has_yet_moves_by_as_much(self, client):
        simulation = Simulation(client)
        people = simulation.numbers(20, Lane.INTERACTIVE)

        assert self.late(simulation, 0.008, beside=people) == (8_000, 8_000)

    def test_takes_a_new_slot_if_it_would_delay_the_others_by_more(self, client):
        simulation = Simulation(client)
        spacing = simulation.rate.spacing_us

        assert self.late(simulation, 0.017, beside=simulation.numbers(4, Lane.INTERACTIVE)) == (5 * spacing, spacing)

    def test_takes_a_new_slot_once_all_of_its_window_are_reserved(self, client):
        simulation = Simulation(client, "10/1s")
        spacing = simulation.rate.spacing_us

        assert self.late(simulation, 0.008, beside=simulation.numbers(9, Lane.INTERACTIVE)) == (8_000, 8_000)
        simulation.pass_(5)
        assert self.late(simulation, 0.008, beside=simulation.numbers(10, Lane.INTERACTIVE)) == (11 * spacing, spacing)

    def test_takes_a_new_slot_while_calls_hold_some(self, client):
        simulation = Simulation(client)
        calls = simulation.numbers(3, Lane.INTERACTIVE, "call")
        moved, by = self.late(simulation, 0.008, beside=calls)

        assert moved >= simulation.rate.spacing_us
        assert by == simulation.rate.spacing_us

    def test_takes_a_new_slot_after_a_429(self, client):
        simulation = Simulation(client)
        first, second = simulation.numbers(2)
        begun, throttled = simulation.begin(first), simulation.begin(second)
        outcome = Outcome(
            State.WAITING, Reason.PACE, counted=False, plivo_signal=PlivoSignal.THROTTLED, retry_after=2.0
        )
        simulation.settle(throttled, outcome)
        simulation.pass_(0.008)

        assert replace_slots(simulation.ledger, [(begun.record, begun.at_us)])[0].at_us > simulation.now_us + 2 * SECOND


class TestA429:
    def throttle(self, simulation, retry_after=None):
        request = simulation.numbers(1)
        (begun,) = simulation.ledger.begin(request)
        outcome = Outcome(
            State.WAITING, Reason.PACE, counted=False, plivo_signal=PlivoSignal.THROTTLED, retry_after=retry_after
        )
        simulation.ledger.settle(*request[0], begun.fence, outcome)
        return simulation.ledger.read(request[0][0])

    def closed_for(self, simulation):
        return (int(simulation.client.hget(simulation.keys.pace, "account")) - simulation.now_us) / SECOND

    @pytest.mark.parametrize(
        ("retry_after", "seconds"), [(7.0, 7), (900.0, 900), (0.0, 1), (None, 1)], ids=["7 s", "900 s", "0 s", "none"]
    )
    def test_a_429_closes_the_bucket_for_all_until_plivos_time_at_least(self, client, retry_after, seconds):
        simulation = Simulation(client)
        record = self.throttle(simulation, retry_after)

        assert seconds <= self.closed_for(simulation) <= 1.11 * seconds
        assert (record.state, record.reason, record.attempts) == (State.WAITING, Reason.PACE, 0)
        assert seconds <= record.due_at.timestamp() - simulation.now_us / SECOND <= 1.11 * seconds

    @pytest.mark.parametrize("lane", [Lane.BULK, Lane.SCHEDULED])
    def test_after_a_429_of_a_minute_no_caller_waits_for_a_slot_and_the_share_comes_later(self, client, lane):
        simulation = Simulation(client)
        self.throttle(simulation, 60.0)
        booked_us = simulation.now_us
        simulation.booker(simulation.numbers(100, lane), lane)
        simulation.run(until_us=booked_us + 50 * SECOND)
        assert not simulation.slots[lane]

        simulation.run()
        assert len(simulation.slots[lane]) == 100
        assert min(simulation.slots[lane]) >= booked_us + 60 * SECOND

    def test_429s_of_requests_under_way_count_once(self, client):
        simulation = Simulation(client)
        requests = simulation.numbers(2, Lane.INTERACTIVE)
        begun = simulation.ledger.begin(requests)
        for one, request in zip(begun, requests, strict=True):
            simulation.at(one.at_us + 1000)
            outcome = Outcome(State.WAITING, Reason.PACE, counted=False, plivo_signal=PlivoSignal.THROTTLED)
            simulation.ledger.settle(*request, one.fence, outcome)

        assert client.hget(simulation.keys.pace, "refusals") == "1"

    def test_repeated_429s_close_the_bucket_for_growing_times(self, client):
        simulation = Simulation(client)
        waits = []
        for _ in range(2):
            self.throttle(simulation)
            waits.append(self.closed_for(simulation))
            simulation.at(simulation.now_us + int(waits[-1] * SECOND) + 1)

        assert waits[1] == pytest.approx(2 * waits[0], rel=0.12)

    def test_a_single_429_widens_the_spacing_for_a_while(self, client):
        simulation = Simulation(client)
        self.throttle(simulation)
        spacings = []
        for seconds in (2, 12):
            simulation.at(simulation.now_us + seconds * SECOND)
            slots = [begun.at_us for begun in simulation.ledger.begin(simulation.numbers(3, Lane.INTERACTIVE))]
            spacings.append(slots[-1] - slots[-2])

        assert spacings == [pytest.approx(16_867 * (1 + 60 / 5060), abs=2), 16_867]

    @pytest.mark.parametrize("retry_after", [None, 10.0, 60.0])
    def test_three_429s_halve_the_pace_for_ten_seconds_at_most(self, client, retry_after):
        simulation = Simulation(client)
        for _ in range(3):
            self.throttle(simulation, retry_after)
            simulation.at(simulation.now_us + int(self.closed_for(simulation) * SECOND) + 1)
        struck = simulation.now_us
        shares = []
        for seconds in (0, 2, 10):
            simulation.at(struck + seconds * SECOND)
            shares.append(control.sending_status(simulation.ledger).share)
            slots = [begun.at_us for begun in simulation.ledger.begin(simulation.numbers(3, Lane.INTERACTIVE))]
            assert 16_867 / (slots[-1] - slots[-2]) == pytest.approx(shares[-1], abs=0.02)

        assert shares[0] == pytest.approx(0.5, abs=0.01)
        assert shares[0] < shares[1] < shares[2] == 1


class TestOtherRates:
    def test_other_rates_apply_at_once_and_the_first_window_has_no_slot(self, client):
        simulation = Simulation(client)
        (before,) = simulation.ledger.begin(simulation.numbers(1, Lane.INTERACTIVE))
        until = control.override_rates(simulation.ledger, timedelta(hours=1), rate=Rate.parse("10/1s"))
        after = simulation.ledger.begin(simulation.numbers(3, Lane.INTERACTIVE))

        assert before.at_us < simulation.now_us + 20_000
        assert after[0].at_us == before.at_us + SECOND + 60_000
        assert after[2].at_us - after[1].at_us == 106_000
        assert until.timestamp() == simulation.now_us // SECOND + 3600 + simulation.now_us % SECOND // 1000 / 1000

    def test_other_rates_end_by_themselves(self, client):
        simulation = Simulation(client)
        rates = {"rate": Rate.parse("10/1s"), "call_rate": Rate.parse("1/1s")}
        control.override_rates(simulation.ledger, timedelta(minutes=1), **rates)
        during = control.sending_status(simulation.ledger)
        simulation.at(simulation.now_us + 61 * SECOND)
        after = control.sending_status(simulation.ledger)
        slots = [begun.at_us for begun in simulation.ledger.begin(simulation.numbers(3, Lane.INTERACTIVE))]

        assert (during.rate, during.call_rate, after.rate, after.call_rate) == ("10/1s", "1/1s", "300/5s", "2/1s")
        assert (during.limited_until is None, after.limited_until) == (False, None)
        assert slots[2] - slots[1] == 16_867

    def test_other_rates_can_be_ended_and_the_history_has_both_changes(self, client):
        simulation = Simulation(client)
        control.override_rates(simulation.ledger, timedelta(hours=1), rate=Rate.parse("10/1s"))
        control.restore_rates(simulation.ledger)

        assert control.sending_status(simulation.ledger).rate == "300/5s"
        assert [line.rate for line in control.rate_history(simulation.ledger)] == ["10/1s", None]

    def end_of_an_hour(self, simulation):
        control.override_rates(simulation.ledger, timedelta(hours=1), rate=Rate.parse("100/1s"))
        simulation.pass_(3599)
        yield
        simulation.pass_(1)

    @pytest.mark.parametrize("way", ["set", "end of the time", "another worker"])
    def test_a_slower_rate_begins_a_window_after_the_last_reserved_slot(self, client, way):
        simulation = Simulation(client, "100/1s" if way != "end of the time" else "10/1s")
        hour = self.end_of_an_hour(simulation)
        if way == "end of the time":
            next(hour)
        booked = [begun.at_us for begun in simulation.ledger.begin(simulation.numbers(300, Lane.INTERACTIVE))]
        if way == "set":
            control.override_rates(simulation.ledger, timedelta(hours=1), rate=Rate.parse("10/1s"))
        elif way == "another worker":
            simulation.ledger.publish_policy(Policy(rate=Rate.parse("10/1s"), range_codes_per_hour=0))
        else:
            next(hour, None)
        first, second = simulation.ledger.begin(simulation.numbers(2, Lane.INTERACTIVE))

        assert booked[-1] > simulation.now_us + 2 * SECOND
        assert first.at_us == booked[-1] + SECOND + 60_000
        assert second.at_us - first.at_us == 106_000

    @pytest.mark.parametrize("seed", range(4))
    def test_no_window_has_too_many_slots_however_often_the_rates_change(self, client, seed):
        chance = random.Random(seed)
        rates = [Rate.parse(text) for text in ("100/1s", "30/1s", "5/1s", "300/5s", "20/2s")]
        simulation = Simulation(client)
        slots = []  # each with the rate that applied when it was reserved
        for _ in range(9):
            rate = chance.choice(rates)
            if chance.random() < 0.5:
                control.override_rates(simulation.ledger, timedelta(seconds=chance.randrange(1, 20)), rate=rate)
            else:
                simulation.ledger.publish_policy(Policy(rate=rate, range_codes_per_hour=0))
            for _ in range(chance.randrange(1, 4)):
                people = simulation.called_up() + simulation.numbers(chance.randrange(1, 120), Lane.INTERACTIVE)
                begun = simulation.ledger.begin(people)
                applies = Rate.parse(control.sending_status(simulation.ledger).rate)
                slots += [(one.at_us, applies) for one in begun if one.verdict is Verdict.BEGUN]
                simulation.pass_(chance.uniform(0, 4))

        assert len(slots) > 200
        for nth, (slot, rate) in enumerate(slots[max(r.number for r in rates) :], max(r.number for r in rates)):
            assert slot - slots[nth - rate.number][0] >= rate.window_us + 60_000, (nth, str(rate))

    def test_a_quicker_rate_brings_the_next_slot_nearer(self, client):
        simulation = Simulation(client)
        control.override_rates(simulation.ledger, timedelta(hours=1), rate=Rate.parse("1/60s"))
        simulation.pass_(60)
        simulation.begin(*simulation.numbers(1, Lane.INTERACTIVE))
        control.restore_rates(simulation.ledger)
        begun = simulation.begin(*simulation.numbers(1, Lane.INTERACTIVE))

        assert begun.wait <= timedelta(seconds=5.06)

    def test_another_rate_for_calls_leaves_texts_alone(self, client):
        simulation = Simulation(client)
        text, call = simulation.numbers(1, Lane.INTERACTIVE) + simulation.numbers(1, Lane.INTERACTIVE, "call")
        simulation.pass_(1)
        begun = [simulation.begin(one) for one in (text, call)]
        control.override_rates(simulation.ledger, timedelta(hours=1), call_rate=Rate.parse("1/60s"))
        again = [simulation.begin(one, fence=its.fence) for one, its in zip((text, call), begun, strict=True)]

        assert [one.verdict for one in again] == [Verdict.BEGUN, Verdict.LATER]
        assert simulation.begin(*simulation.numbers(1, Lane.INTERACTIVE)).wait < timedelta(seconds=0.1)

    def test_the_same_rates_cost_nothing(self, client):
        simulation = Simulation(client)
        control.override_rates(simulation.ledger, timedelta(hours=1), rate=Rate.parse("300/5s"))

        assert simulation.begin(*simulation.numbers(1, Lane.INTERACTIVE)).wait == timedelta()

    def test_other_rates_revoke_slots_of_the_old_pace(self, client):
        simulation = Simulation(client, "10/1s")
        requests = simulation.numbers(20, Lane.INTERACTIVE)
        fence = "f" * 16
        booked = simulation.ledger.begin(requests, fence=fence)
        simulation.at(simulation.now_us + 1000)
        control.override_rates(simulation.ledger, timedelta(hours=1), rate=Rate.parse("1/1s"))
        again = simulation.ledger.begin(requests, fence=fence)

        assert {begun.verdict for begun in booked} == {Verdict.BEGUN}
        assert {begun.verdict for begun in again} == {Verdict.LATER}
        assert {simulation.record(one).state for one in requests} == {State.QUEUED}
        assert {simulation.record(one).attempts for one in requests} == {0}


def test_after_redis_was_emptied_the_first_window_has_no_slot_for_calls_either(client):
    simulation = Simulation(client)
    client.delete(simulation.keys.pace)
    (text,) = simulation.ledger.begin(simulation.numbers(1, Lane.INTERACTIVE))
    client.delete(simulation.keys.pace)
    simulation.ledger.publish_policy(
        Policy(rate=Rate.parse("1/1s"), call_rate=Rate.parse("1/4s"), range_codes_per_hour=0)
    )
    emptied_us = simulation.now_us
    simulation.booker(simulation.numbers(1, channel="call"))
    simulation.run()

    assert text.at_us == emptied_us + 5 * SECOND
    assert emptied_us + 4 * SECOND <= simulation.slots[Lane.BULK][0] < emptied_us + 5 * SECOND
