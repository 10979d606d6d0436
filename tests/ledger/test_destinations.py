"""Plivo refuses a destination with 403: its number fails, its country is tried now and then, the others are sent to."""

import heapq
import itertools
from collections import Counter, defaultdict
from datetime import timedelta

import pytest
from support.simulation import SECOND, Simulation

from ringproof.batches.erasure import erase_number
from ringproof.errors import Forbidden, Rejected
from ringproof.ledger import control
from ringproof.ledger.acceptance import RequestKind
from ringproof.ledger.agenda import release_refused, work_off_agenda
from ringproof.ledger.answers import AgendaAction, Outcome, PlivoSignal, Verdict
from ringproof.ledger.record import Lane, Reason, State
from worker.sending.outcomes import outcome_of

TAKEN = Outcome(State.CODE_SENT, verification_uuid="uuid", api_id="api", plivo_signal=PlivoSignal.TAKEN)
REFUSED = outcome_of(Forbidden("403 not enabled"), 1)
NO_CREDIT = outcome_of(Forbidden("402 no credit"), 1)
NOT_FOUND = outcome_of(Rejected("404 not found"), 1)
QUEUES = {lane: f"test.{lane}" for lane in Lane}
PERSON = Lane.INTERACTIVE
LATENCY_US = 100_000


@pytest.fixture
def simulation(client):
    return Simulation(client)


class Workers:
    """Workers in simulated time: each message is a chunk whose numbers begin at their turns; `plivo` answers.

    `plivo(number, country)` returns an outcome. `requests` has (time, number, country, outcome) of each request.
    """

    def __init__(self, simulation, plivo, threads=25):
        self.simulation, self.plivo, self.free = simulation, plivo, threads
        self.events, self.order = [], itertools.count()
        self.requests, self.stalled = [], []
        self.add(simulation.now_us, self.tick)

    def add(self, when_us, act, *args):
        heapq.heappush(self.events, (when_us, next(self.order), act, args))

    def enqueue(self, requests, when_us=None):
        """Send a message with these numbers."""
        self.add(when_us or self.simulation.now_us, self.work, list(requests))

    def tick(self):
        """Sweep, as the worker of the ticks does each second."""
        ledger = self.simulation.ledger
        release_refused(ledger, 500)
        due = [entry for entry in work_off_agenda(ledger, 500, QUEUES) if entry.action is AgendaAction.ENQUEUE]
        if due:
            self.enqueue([(entry.phone_number, entry.request) for entry in due])
        self.add(self.simulation.now_us + SECOND, self.tick)

    def work(self, left):
        """Begin numbers of a message; ask again for those whose turn has not come."""
        if not self.free:
            self.stalled.append(left)
            return
        later, next_us = [], self.simulation.now_us
        portion = left[: min(self.free, 10)]
        for request, begun in zip(portion, self.simulation.ledger.begin(portion), strict=True):
            if begun.verdict is Verdict.BEGUN:
                self.free -= 1
                self.add(max(begun.at_us, self.simulation.now_us) + LATENCY_US, self.answer, begun)
            elif begun.verdict is Verdict.LATER:
                later.append(request)
                next_us = begun.at_us + 500
        left = later + left[len(portion) :]
        if left:
            self.add(max(next_us, self.simulation.now_us + 500), self.work, left)

    def answer(self, begun):
        """Plivo answers, and the worker settles."""
        number, country = begun.record.phone_number, begun.record.country
        outcome = self.plivo(number, country)
        self.requests.append((self.simulation.now_us / SECOND, number, country, outcome))
        self.simulation.settle(begun, outcome)
        self.free += 1
        if self.stalled:
            self.enqueue(self.stalled.pop(0))

    def run(self, seconds):
        """Let so much time pass."""
        until_us = self.simulation.now_us + round(seconds * SECOND)
        while self.events[0][0] <= until_us:
            when_us, _, act, args = heapq.heappop(self.events)
            self.simulation.at(max(when_us, self.simulation.now_us))
            act(*args)
        self.simulation.at(until_us)

    def states(self, requests):
        """How many of these numbers are in each state and reason."""
        records = [self.simulation.record(request) for request in requests]
        return Counter(f"{record.state}:{record.reason}" if record.reason else str(record.state) for record in records)


def took(simulation, *countries):
    """Plivo has taken a code in each of these countries, the last one last."""
    for country in countries:
        simulation.send(simulation.numbers(1, PERSON, country=country)[0], TAKEN)


def refused(simulation):
    return [one.name for one in control.sending_status(simulation.ledger).refused_destinations]


def pauses(simulation):
    return [pause.kind for pause in control.sending_status(simulation.ledger).pauses]


def tick(simulation):
    release_refused(simulation.ledger, 500)
    return Counter(entry.action for entry in work_off_agenda(simulation.ledger, 500, QUEUES))


class TestARefusedCountry:
    @pytest.mark.parametrize("lane", Lane)
    def test_fails_its_first_number_at_once_and_is_shown(self, simulation, lane):
        took(simulation, "US")
        record = simulation.send(simulation.numbers(1, lane, country="BR")[0], REFUSED)

        assert (record.state, record.reason, record.detail) == (State.FAILED, Reason.FORBIDDEN, "403 not enabled")
        assert refused(simulation) == ["BR"]
        assert pauses(simulation) == []

    def test_keeps_its_other_numbers_waiting_and_refuses_those_of_people(self, simulation):
        simulation.send(simulation.numbers(1, country="BR")[0], REFUSED)
        row, scheduled = simulation.numbers(1, country="BR") + simulation.numbers(1, Lane.SCHEDULED, country="BR")
        person, *others = (simulation.numbers(1, lane, country=to)[0] for lane, to in [(PERSON, "BR"), (PERSON, "US")])
        verdicts = [simulation.begin(one).verdict for one in (row, scheduled, person, *others)]
        records = [simulation.record(one) for one in (row, scheduled, person)]

        assert verdicts == [Verdict.WAITING, Verdict.WAITING, Verdict.ENDED, Verdict.BEGUN]
        assert [(one.state, one.reason) for one in records] == [
            *[(State.WAITING, Reason.REFUSED)] * 2,
            (State.FAILED, Reason.FORBIDDEN),
        ]
        assert records[2].detail == "Plivo refuses BR"
        assert [one.attempts for one in records] == [0, 0, 0]

    def test_two_of_them_pause_nothing(self, simulation):
        for country in ("BR", "IN", "BR", "IN"):
            for begun in map(simulation.begin, simulation.numbers(2, PERSON, country=country)):
                if begun.verdict is Verdict.BEGUN:
                    simulation.settle(begun, REFUSED)

        assert pauses(simulation) == []
        assert simulation.begin(simulation.numbers(1, country="US")[0]).verdict is Verdict.BEGUN

    def test_is_tried_by_one_number_now_and_then(self, simulation):
        workers = Workers(simulation, lambda *_: REFUSED, threads=1)
        rows = simulation.numbers(60, country="BR")
        workers.enqueue(rows)
        workers.run(300)
        times = [at for at, *_ in workers.requests]
        waits = [round(later - at) for at, later in itertools.pairwise(times)]

        assert waits == pytest.approx([5, 10, 20] + [30] * (len(waits) - 3), abs=1.5)
        assert workers.states(rows) == {"failed:forbidden": len(times), "waiting:refused": 60 - len(times)}

    def test_goes_on_once_a_try_is_taken(self, simulation):
        is_enabled = False
        workers = Workers(simulation, lambda *_: TAKEN if is_enabled else REFUSED)
        rows = simulation.numbers(100, country="BR")
        workers.enqueue(rows)
        workers.run(120)
        lost = len(workers.requests)
        is_enabled = True
        workers.run(35)

        assert workers.states(rows) == {"failed:forbidden": lost, "code_sent": 100 - lost}
        assert refused(simulation) == []
        assert not simulation.client.exists(simulation.keys.destinations_waiting)

    def test_is_tried_at_once_after_a_resume(self, simulation):
        is_enabled = False
        workers = Workers(simulation, lambda *_: TAKEN if is_enabled else REFUSED)
        workers.enqueue(simulation.numbers(30, country="BR"))
        workers.run(120)
        is_enabled = True
        asked = len(workers.requests)
        control.resume(simulation.ledger)
        workers.run(2.2)

        assert len(workers.requests) > asked
        assert refused(simulation) == []

    def test_ends_a_roster_of_three_refused_rows(self, simulation):
        workers = Workers(simulation, lambda *_: REFUSED)
        rows = simulation.numbers(3, country="BR")
        workers.enqueue(rows)
        workers.run(30)

        assert workers.states(rows) == {"failed:forbidden": 3}

    def test_ends_a_roster_of_many_rows_at_their_deadline(self, simulation):
        rows = simulation.numbers(50, country="BR")
        simulation.send(rows[0], REFUSED)
        for row in rows[1:]:
            simulation.begin(row)
        simulation.pass_(24 * 3600)
        tick(simulation)

        assert {simulation.record(row).reason for row in rows} == {Reason.FORBIDDEN}
        assert not simulation.client.exists(simulation.keys.destinations_waiting)

    def test_is_opened_by_a_number_with_a_later_slot_only(self, simulation):
        first, second, third = (simulation.begin(one) for one in simulation.numbers(3, PERSON, country="BR"))
        simulation.settle(second, REFUSED)
        simulation.settle(first, TAKEN)
        assert refused(simulation) == ["BR"]
        simulation.settle(third, TAKEN)

        assert refused(simulation) == []

    def test_is_forgotten_after_an_hour_without_a_number(self, simulation):
        simulation.send(simulation.numbers(1, country="BR")[0], REFUSED)
        simulation.pass_(3700)

        assert refused(simulation) == []
        assert [simulation.begin(row).verdict for row in simulation.numbers(2, PERSON, country="BR")] == [
            Verdict.BEGUN
        ] * 2

    def test_waits_in_a_bounded_set_that_a_number_leaves_however_it_ends(self, simulation):
        simulation.send(simulation.numbers(1, country="BR")[0], REFUSED)
        cancelled, erased, promoted, late = rows = simulation.numbers(4, country="BR")
        for row in rows:
            simulation.begin(row)
        assert simulation.client.zcard(simulation.keys.destinations_waiting) == 4
        simulation.ledger.cancel(*cancelled)
        erase_number(simulation.ledger, erased[0])
        simulation.ledger.accept(promoted[0], token="a person", kind=RequestKind.PERSON, country="BR")
        simulation.begin(promoted)
        assert simulation.client.zrange(simulation.keys.destinations_waiting, 0, -1) == [f"BR/0/{late[0]}"]
        simulation.pass_(25 * 3600)
        tick(simulation)

        assert simulation.record(promoted).reason is Reason.FORBIDDEN
        assert simulation.record(late).reason is Reason.FORBIDDEN
        assert not simulation.client.exists(simulation.keys.destinations_waiting)

    @pytest.mark.parametrize("country", [None, "001"])
    def test_may_be_a_network_without_a_country(self, simulation, country):
        simulation.send(simulation.numbers(1, country=country)[0], REFUSED)

        assert refused(simulation) == ["+1415"]
        assert simulation.begin(simulation.numbers(1, country="US")[0]).verdict is Verdict.BEGUN


class TestARefusedNumberOfACountryThatTakesCodes:
    @pytest.mark.parametrize("lane", Lane)
    def test_fails_within_seconds_and_nothing_else_waits(self, simulation, lane):
        took(simulation, "US")
        (request,) = simulation.numbers(1, lane, country="US")
        simulation.send(request, REFUSED)
        other = simulation.begin(simulation.numbers(1, country="US")[0])
        simulation.settle(other, TAKEN)
        simulation.pass_(2.1)

        assert (other.verdict, tick(simulation)) == (Verdict.BEGUN, {AgendaAction.REFUSED: 1})
        record = simulation.record(request)
        assert (record.state, record.reason, record.detail) == (State.FAILED, Reason.FORBIDDEN, "403 not enabled")

    @pytest.mark.parametrize("home", ["US", None])
    def test_many_of_them_hold_nothing_up(self, simulation, home):
        took(simulation, "US", "GB")
        countries = itertools.cycle([home] if home else ["US", "GB"])
        rows = [simulation.numbers(1, country=next(countries))[0] for _ in range(400)]
        barred = {number for number, _ in simulation.chance.sample(rows, 100)}
        workers = Workers(simulation, lambda number, _: REFUSED if number in barred else TAKEN)
        workers.enqueue(rows)
        workers.run(20)
        sent = [at for at, *_, outcome in workers.requests if outcome is TAKEN]

        assert len(sent) == 300
        assert sent[-1] - sent[0] <= 1.2 * 400 * simulation.rate.spacing_us / SECOND
        assert workers.states(rows) == {"code_sent": 300, "failed:forbidden": 100}

    def test_three_in_a_row_close_the_country_and_one_more_is_tried_at_once(self, simulation):
        took(simulation, "US")
        workers = Workers(simulation, lambda *_: REFUSED, threads=1)
        rows = simulation.numbers(50, country="US")
        workers.enqueue(rows)
        workers.run(90)
        times = [at - workers.requests[0][0] for at, *_ in workers.requests]

        assert times[:4] == pytest.approx([0, 0.1, 0.2, 0.4], abs=0.4)
        assert times[4:] == pytest.approx([6, 17, 38, 69], abs=2)
        assert workers.states(rows) == {"waiting:refused": 50}
        assert refused(simulation) == ["US"]
        assert len({number for _, number, *_ in workers.requests}) == len(times), "first those not refused before"

    def test_three_alone_end(self, simulation):
        took(simulation, "US")
        workers = Workers(simulation, lambda *_: REFUSED)
        rows = simulation.numbers(3, country="US")
        workers.enqueue(rows)
        workers.run(60)

        assert workers.states(rows) == {"failed:forbidden": 3}


def roster(simulation, **counts):
    """Rows of these countries, in turns."""
    by_country = [simulation.numbers(count, country=country) for country, count in counts.items()]
    return [row for rows in itertools.zip_longest(*by_country) for row in rows if row]


class TestARosterWithARefusedCountry:
    @pytest.mark.parametrize("enabled", [("US",), ("US", "GB")])
    def test_gives_the_others_their_pace_and_a_person_a_code_within_a_second(self, simulation, enabled):
        took(simulation, *enabled)
        rows = roster(simulation, BR=100, **dict.fromkeys(enabled, 300 // len(enabled)))
        workers = Workers(simulation, lambda _, country: REFUSED if country == "BR" else TAKEN)
        workers.enqueue(rows)
        people = []
        for _ in range(5):
            workers.run(1)
            people += simulation.numbers(1, PERSON, country="US")
            workers.enqueue(people[-1:])
            asked_us = simulation.now_us
            workers.run(1)
            assert simulation.record(people[-1]).state is State.CODE_SENT, (simulation.now_us - asked_us) / SECOND
        mine = {number for number, _ in rows}
        sent = [at for at, number, country, _ in workers.requests if country != "BR" and number in mine]

        assert len(sent) == 300
        assert sent[-1] - sent[0] <= 1.2 * 305 * simulation.rate.spacing_us / SECOND
        states = workers.states(rows)
        assert states["failed:forbidden"] + states["waiting:refused"] == 100
        assert states["code_sent"] == 300


class TestTheAccount:
    def barred(self, simulation, threads=1, status=REFUSED, seconds=95):
        """Plivo refuses all from now on, with a roster of three countries under way."""
        took(simulation, "CA", "GB", "US")
        self.is_barred = True
        workers = Workers(simulation, lambda *_: status if self.is_barred else TAKEN, threads)
        rows = roster(simulation, US=40, GB=40, CA=40)
        workers.enqueue(rows)
        workers.run(seconds)
        return workers, rows

    def test_is_paused_within_three_refusals_and_probed_every_thirty_seconds(self, simulation):
        workers, rows = self.barred(simulation)
        times = [at - workers.requests[0][0] for at, *_ in workers.requests]

        assert times[:3] == pytest.approx([0] * 3, abs=1.5)
        assert [later - at for at, later in itertools.pairwise(times[2:])] == pytest.approx([30] * 3, abs=2)
        assert pauses(simulation) == ["account"]
        assert not [state for state in workers.states(rows) if state.startswith("failed")]

    def test_is_probed_by_a_number_that_was_not_refused_of_a_country_that_took_one_last(self, simulation):
        workers, _ = self.barred(simulation)
        probes = workers.requests[2:]
        suspects = {country for _, _, country, _ in workers.requests[:2]}
        left = next(country for country in ("US", "GB", "CA") if country not in suspects)

        assert {country for _, _, country, _ in probes} == {left}
        assert len({number for _, number, *_ in workers.requests}) == len(workers.requests)

    def test_needs_no_probe_when_a_third_number_under_way_is_refused_too(self, simulation):
        took(simulation, "US", "GB")
        under_way = [simulation.begin(simulation.numbers(1, PERSON, country=to)[0]) for to in ("US", "GB", "US")]
        for begun in under_way:
            simulation.settle(begun, REFUSED)
        other = simulation.begin(simulation.numbers(1, country="US")[0])

        assert (other.verdict, other.record.reason) == (Verdict.WAITING, Reason.PAUSED)

    def test_is_not_probed_by_a_number_that_was_refused(self, simulation):
        took(simulation, "US", "GB")
        refused_ones = [simulation.numbers(1, PERSON, country=country)[0] for country in ("US", "GB")]
        for request in refused_ones:
            simulation.send(request, REFUSED)
        simulation.pass_(2.1)
        tick(simulation)
        for number, request in refused_ones:  # as if their messages came twice
            simulation.client.hset(simulation.keys.record(number), "state", "queued")
            assert simulation.begin((number, request)).verdict is Verdict.WAITING

        assert simulation.begin(simulation.numbers(1, country="GB")[0]).verdict is Verdict.BEGUN

    def test_goes_on_within_thirty_seconds_of_plivo(self, simulation):
        workers, rows = self.barred(simulation, threads=25)
        assert not [state for state in workers.states(rows) if state.startswith("failed")]
        self.is_barred = False
        workers.run(31)
        assert pauses(simulation) == []
        workers.run(10)

        assert workers.states(rows) == {"code_sent": 120}

    def test_is_not_at_fault_when_a_third_country_takes_codes(self, simulation):
        took(simulation, "CA", "US", "GB")
        workers = Workers(simulation, lambda _, country: TAKEN if country == "CA" else REFUSED)
        rows = roster(simulation, US=20, GB=20, CA=100)
        workers.enqueue(rows)
        workers.run(10)

        assert pauses(simulation) == []
        assert refused(simulation) == ["GB", "US"]
        assert Counter(country for *_, country, outcome in workers.requests if outcome is TAKEN) == {"CA": 100}

    def test_without_credit_pauses_at_the_first_number_and_fails_none(self, simulation):
        workers, rows = self.barred(simulation, status=NO_CREDIT, seconds=70)
        (pause,) = control.sending_status(simulation.ledger).pauses
        assert len(workers.requests) == 3
        assert "402" in pause.why
        assert not [state for state in workers.states(rows) if state.startswith("failed")]
        self.is_barred = False
        workers.run(45)

        assert workers.states(rows) == {"code_sent": 120}

    @pytest.mark.parametrize("refusal", [REFUSED, NO_CREDIT])
    def test_alone_with_refused_numbers_asks_on_and_fails_none(self, simulation, refusal):
        took(simulation, "US", "GB")
        is_barred = True
        workers = Workers(simulation, lambda *_: refusal if is_barred else TAKEN)
        rows = roster(simulation, US=2, GB=2)
        workers.enqueue(rows)
        workers.run(200)
        assert 5 <= len(workers.requests) <= 11
        assert not [state for state in workers.states(rows) if state.startswith("failed")]
        is_barred = False
        workers.run(45)

        assert workers.states(rows) == {"code_sent": 4}

    def test_a_number_that_alone_is_too_dear_stops_the_others_twice_at_most(self, simulation):
        (dear,) = simulation.numbers(1, country="US")
        workers = Workers(simulation, lambda number, _: NO_CREDIT if number == dear[0] else TAKEN)
        rows = simulation.numbers(400, country="US")
        workers.enqueue([dear, *rows])
        workers.run(80)

        assert workers.states(rows) == {"code_sent": 400}
        assert workers.states([dear]) == {"failed:forbidden": 1}

    def test_five_numbers_in_a_row_that_are_not_found_show_a_wrong_address(self, simulation):
        workers = Workers(simulation, lambda *_: NOT_FOUND, threads=1)
        rows = simulation.numbers(30, country="US")
        workers.enqueue(rows)
        workers.run(60)
        (pause,) = control.sending_status(simulation.ledger).pauses

        assert workers.states(rows)["failed:rejected"] == 4
        assert "PLIVO_BASE_URL" in pause.why
        assert len(workers.requests) <= 8

    def test_at_a_wrong_address_a_persons_request_is_too_late_and_not_forbidden(self, simulation):
        workers = Workers(simulation, lambda *_: NOT_FOUND, threads=1)
        rows = simulation.numbers(6, PERSON, country="US")
        workers.enqueue(rows)
        workers.run(16 * 60)

        assert workers.states(rows) == {"failed:rejected": 4, "failed:too_late": 2}

    def test_one_number_that_is_not_found_five_times_shows_nothing(self, simulation):
        ((number, _),) = simulation.numbers(1, PERSON)
        for nth in range(6):
            request = simulation.ledger.accept(number, token=f"{number}{nth}").request
            simulation.send((number, request), NOT_FOUND)

        assert pauses(simulation) == []

    def test_a_number_that_was_taken_ends_the_count_of_those_not_found(self, simulation):
        for outcome in [*[NOT_FOUND] * 4, TAKEN, *[NOT_FOUND] * 4]:
            simulation.send(simulation.numbers(1, PERSON, country="US")[0], outcome)

        assert pauses(simulation) == []


def test_a_suspect_that_was_cancelled_stays_cancelled(simulation):
    took(simulation, "US")
    (suspect,) = simulation.numbers(1, country="US")
    simulation.send(suspect, REFUSED)
    simulation.ledger.cancel(*suspect)
    simulation.pass_(3)
    tick(simulation)

    assert simulation.record(suspect).state is State.CANCELLED


def test_a_person_who_is_refused_while_the_account_is_waits_and_goes_on_with_it(simulation):
    took(simulation, "US", "GB")
    us, gb = (simulation.numbers(1, PERSON, country=country)[0] for country in ("US", "GB"))
    simulation.send(us, REFUSED)
    simulation.send(gb, REFUSED)
    simulation.pass_(2.1)
    tick(simulation)
    assert {simulation.record(one).state for one in (us, gb)} == {State.WAITING}
    simulation.send(simulation.numbers(1, PERSON, country="US")[0], TAKEN)
    tick(simulation)

    assert [simulation.begin(one).verdict for one in (us, gb)] == [Verdict.BEGUN] * 2


def test_the_destinations_take_a_few_bytes_each(simulation):
    fields = defaultdict(int)
    for nth in range(20):
        country = f"{'ABCDEFGHIJ'[nth % 10]}{'KL'[nth // 10]}"
        simulation.send(simulation.numbers(1, country=country)[0], [TAKEN, REFUSED][nth % 2])
        simulation.pass_(timedelta(seconds=1).total_seconds())
        fields[country] += 1

    assert simulation.client.hlen(simulation.keys.destinations) <= 6 * len(fields)
    assert simulation.client.memory_usage(simulation.keys.destinations) < 8192
