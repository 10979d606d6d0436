"""Redis' clock is set back or jumps ahead amid sends: sending goes on, nothing fails, and no code is doubled."""

import heapq
import itertools
import random
import secrets
from collections import Counter, defaultdict
from datetime import timedelta

import pytest
from support.harness import fresh_number
from support.simulation import REDIS_CLOCK, SECOND, Simulation

from ringproof.batches.erasure import erase_number
from ringproof.clock import boot_clock
from ringproof.errors import Forbidden, Throttled, Unauthorized
from ringproof.ledger import control
from ringproof.ledger.acceptance import Disposition, RequestKind
from ringproof.ledger.agenda import repair_agenda, work_off_agenda
from ringproof.ledger.answers import AgendaAction, Outcome, PlivoSignal, Verdict
from ringproof.ledger.confirmation import Marked, mark_verified
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.pace import report_answer, reserve_slot
from ringproof.ledger.plivo_credentials import check_credentials
from ringproof.ledger.plivo_list import ListScan, request_scan, take_page
from ringproof.ledger.queues import claim_tick
from ringproof.ledger.record import Lane, Reason, State
from ringproof.plivo.client import VerifiedNumber
from tasks.sweep import end_doubt
from worker.sending.outcomes import outcome_of

TAKEN = Outcome(State.CODE_SENT, verification_uuid="uuid", api_id="api", plivo_signal=PlivoSignal.TAKEN)
QUEUES = {lane: f"test.{lane}" for lane in Lane}
HOUR, MINUTE = 3600 * SECOND, 60 * SECOND
MS = SECOND // 1000
JUMPS = {"an hour back": -HOUR, "20 s back": -20 * SECOND, "an hour ahead": HOUR, "2 s ahead": 2 * SECOND}


class Service:
    """Workers, a sweep and Plivo in true time, around a ledger whose clock may be another one."""

    def __init__(self, client, monkeypatch, rate="300/5s"):
        self.client, self.offset_us = client, 0
        monkeypatch.setattr("ringproof.ledger.clock_watch.boot_clock", self.boot_clock)
        self.simulation = Simulation(client, rate, REDIS_CLOCK)
        self.ledger = self.simulation.ledger
        self.true_us = self.simulation.now_us
        self.codes = defaultdict(list)  # number -> the true times at which Plivo got a request
        self.events, self.order, self.chance = [], itertools.count(), random.Random(1)
        monkeypatch.setattr(
            "tasks.sweep.send_message", lambda message: self.message((*message.args, message.kwargs["request"]))
        )
        self.after(0, self.sweep)

    def boot_clock(self):
        """The true time, by which the processes measure Redis' clock."""
        return (int(self.client.get("test:now_us")) - self.offset_us) / SECOND

    def after(self, us, action, *arguments):
        heapq.heappush(self.events, (self.true_us + us, next(self.order), action, arguments))

    def run(self, seconds):
        until_us = self.true_us + seconds * SECOND
        while self.events[0][0] <= until_us:
            self.true_us, _, action, arguments = heapq.heappop(self.events)
            self.simulation.at(self.true_us + self.offset_us)
            action(*arguments)

    def jump(self, by_us):
        self.offset_us += by_us
        self.simulation.at(self.true_us + self.offset_us)

    def message(self, *requests):
        """Workers take these requests, ten in a child."""
        for start in range(0, len(requests), 10):
            self.after(self.chance.randrange(5 * MS), self.begin, requests[start : start + 10])

    def begin(self, requests):
        later = []
        fence = f"{self.chance.randrange(2**63):016x}"
        for request, begun in zip(requests, self.ledger.begin(requests, fence=fence), strict=True):
            wait_us = begun.wait // timedelta(microseconds=1)
            if begun.verdict is Verdict.LATER:
                later.append((wait_us, request))
            elif begun.verdict is Verdict.BEGUN and wait_us > SECOND // 2:
                self.after(wait_us - SECOND // 2, self.check, request, fence)
            elif begun.verdict is Verdict.BEGUN:
                self.after(wait_us, self.send, request, fence)
        if later:
            wait_us = min(wait_us for wait_us, _ in later)
            self.after(wait_us + self.chance.randrange(MS), self.begin, [request for _, request in later])

    def check(self, request, fence):
        (again,) = self.ledger.begin([request], fence=fence)
        if again.verdict is Verdict.BEGUN:
            self.after(SECOND // 2, self.send, request, fence)
        else:
            self.message(request)

    def send(self, request, fence):
        self.codes[request[0]].append(self.true_us)
        self.after(200 * MS, self.settle, request, fence)

    def settle(self, request, fence):
        self.ledger.settle(*request, fence, TAKEN)

    def sweep(self):
        self.after(SECOND, self.sweep)
        if not claim_tick(self.ledger, "sweep", timedelta(milliseconds=800)):
            return
        for entry in work_off_agenda(self.ledger, 500, QUEUES):
            if entry.action is AgendaAction.ENQUEUE:
                self.message((entry.phone_number, entry.request))
            elif entry.action is AgendaAction.LOOK_UP:
                record = self.ledger.read(entry.phone_number, entry.request)
                end_doubt(self.ledger, record, None, hold=False)
        repair_agenda(self.ledger, 20_000)  # this Redis has the records of other tests, too

    def people(self, count, every_us):
        requests = []
        for _ in range(count):
            requests += self.simulation.numbers(1, Lane.INTERACTIVE)
            self.message(requests[-1])
            self.run(every_us / SECOND)
        return requests


@pytest.fixture
def service(client, monkeypatch):
    return Service(client, monkeypatch)


@pytest.fixture
def simulation(client):
    return Simulation(client)


def most_in_a_window(moments, window_us=5 * SECOND):
    moments, first, most = sorted(moments), 0, 0
    for last, moment in enumerate(moments):
        while moments[first] <= moment - window_us:
            first += 1
        most = max(most, last - first + 1)
    return most


@pytest.mark.parametrize("by", JUMPS)
def test_in_the_middle_of_bulk_and_people_sending_goes_on_within_a_window(service, by):
    bulk = service.simulation.numbers(200)
    service.message(*bulk)
    people = service.people(4, SECOND // 4)
    service.jump(JUMPS[by])
    jumped_us = service.true_us
    people += service.people(16, SECOND // 4)
    service.run(15)

    sent = sorted(moment for moments in service.codes.values() for moment in moments)
    states = Counter(str(service.ledger.read(*request).state) for request in bulk + people)
    assert states == Counter({"code_sent": len(bulk) + len(people)})
    assert [len(moments) for moments in service.codes.values()] == [1] * states["code_sent"]
    assert min(moment for moment in sent if moment > jumped_us + SECOND // 2) - jumped_us < 6 * SECOND
    assert max(later - earlier for earlier, later in itertools.pairwise(sent) if earlier < sent[-20]) < 6 * SECOND
    assert most_in_a_window(sent) <= 300


@pytest.mark.parametrize("by", JUMPS)
def test_people_with_slots_and_people_in_the_line_get_their_codes_within_the_limit(client, monkeypatch, by):
    service = Service(client, monkeypatch, "60/5s")
    people = service.simulation.numbers(100, Lane.INTERACTIVE)  # the first 60 get slots up to five seconds ahead
    service.message(*people)
    service.run(1)
    reasons = Counter(service.ledger.read(*person).reason for person in people)
    service.jump(JUMPS[by])
    people += service.people(20, SECOND // 10)
    service.run(20)

    assert reasons[Reason.PACE] > 20
    assert Counter(str(service.ledger.read(*person).state) for person in people) == {"code_sent": 120}
    assert {len(moments) for moments in service.codes.values()} == {1}
    assert most_in_a_window(itertools.chain(*service.codes.values())) <= 60


@pytest.mark.parametrize("by", ["an hour ahead", "2 s ahead"])
def test_people_who_are_called_up_by_the_first_sweep_after_a_jump_get_their_slots_at_once(client, monkeypatch, by):
    service = Service(client, monkeypatch, "3/1s")
    simulation = service.simulation
    people = simulation.numbers(20, Lane.INTERACTIVE)
    waits = [person for person in people if simulation.begin(person).verdict is not Verdict.BEGUN]
    assert {simulation.record(person).reason for person in waits} == {Reason.PACE}
    service.jump(JUMPS[by])
    simulation.begin(*simulation.numbers(1, Lane.INTERACTIVE))  # the pace begins again
    simulation.pass_(5)  # and nobody has swept since

    called_up = simulation.called_up()
    assert set(waits) <= set(called_up)
    assert {simulation.begin(person).verdict for person in waits} == {Verdict.BEGUN}


def test_an_hour_ahead_for_half_a_minute_leaves_no_number_behind(service):
    service.jump(HOUR)
    wrong = service.simulation.numbers(20)
    service.message(*wrong)
    service.run(8)
    lost = service.simulation.numbers(20)  # their messages are lost in the wrong minute
    service.run(22)
    service.jump(-HOUR)
    service.run(40)
    states = {str(service.ledger.read(*request).state) for request in wrong + lost}
    service.true_us += 16 * MINUTE
    service.run(5)
    ended = {str(service.ledger.read(*request).state) for request in wrong}
    again = [service.ledger.accept(number, token=f"again {number}") for number, _ in wrong]
    service.message(*((number, one.request) for (number, _), one in zip(wrong, again, strict=True)))
    service.run(10)

    assert states == {"code_sent"}
    assert ended <= {"code_sent", "expired"}
    for number, _ in wrong:
        first, second = service.codes[number]
        assert second - first > 15 * MINUTE


@pytest.mark.parametrize("by", ["an hour back", "20 s back"])
def test_a_closed_pace_and_its_slowness_end_with_the_clock_that_knew_them(simulation, by):
    for _ in range(4):
        simulation.send(*simulation.numbers(1), outcome_of(Throttled("429", 1.0), 1))
        simulation.pass_(1.5)
    simulation.send(*simulation.numbers(1), outcome_of(Throttled("429", 900.0), 1))
    simulation.at(simulation.now_us + JUMPS[by])
    (begun,) = simulation.ledger.begin(simulation.numbers(1, Lane.INTERACTIVE))

    assert control.sending_status(simulation.ledger).share == 1.0
    assert begun.verdict is Verdict.BEGUN
    assert begun.wait <= timedelta(seconds=5.1)


def test_a_pause_by_plivos_answers_does_not_last_until_the_old_time(simulation):
    simulation.send(*simulation.numbers(1), outcome_of(Unauthorized("401"), 1))
    simulation.at(simulation.now_us - HOUR)

    assert check_credentials(simulation.ledger).probes
    report_answer(simulation.ledger, PlivoSignal.KNOWN)
    simulation.pass_(10)
    assert simulation.send(*simulation.numbers(1), TAKEN).state is State.CODE_SENT


def test_a_probe_of_a_refused_account_is_due_at_once(simulation):
    simulation.send(*simulation.numbers(1), outcome_of(Forbidden("402"), 1))
    simulation.at(simulation.now_us - HOUR)
    simulation.pass_(10)

    assert simulation.send(*simulation.numbers(1), TAKEN).state is State.CODE_SENT
    assert control.sending_status(simulation.ledger).pauses == ()


def test_a_refused_destination_is_tried_again_and_opens(simulation):
    simulation.send(*simulation.numbers(1), outcome_of(Forbidden("403"), 1))
    simulation.at(simulation.now_us - HOUR)
    simulation.pass_(10)
    tried = simulation.send(*simulation.numbers(1), TAKEN)

    assert tried.state is State.CODE_SENT
    assert simulation.send(*simulation.numbers(1), TAKEN).state is State.CODE_SENT


def test_a_tick_of_the_wrong_hour_does_not_keep_the_next_ones_away(simulation):
    every = timedelta(minutes=1)
    assert claim_tick(simulation.ledger, "sweep", every)
    assert not claim_tick(simulation.ledger, "sweep", every)
    simulation.at(simulation.now_us - HOUR)

    assert claim_tick(simulation.ledger, "sweep", every)
    assert not claim_tick(simulation.ledger, "sweep", every)


@pytest.mark.parametrize("by", [-20 * SECOND, HOUR])
def test_slots_that_were_booked_before_a_jump_count_after_it(client, monkeypatch, by):
    service = Service(client, monkeypatch, "3/1s")  # a window that is shorter than people's bookings
    service.message(*service.simulation.numbers(9, Lane.INTERACTIVE))
    service.run(1)
    service.jump(by)
    service.message(*service.simulation.numbers(9, Lane.INTERACTIVE))
    service.run(15)
    sent = sorted(itertools.chain(*service.codes.values()))

    assert len(sent) == 18
    assert most_in_a_window(sent, SECOND) <= 3


def test_the_turn_to_read_plivos_list_comes_within_two_windows(simulation):
    request_scan(simulation.ledger, ListScan.RECONCILE)
    assert take_page(simulation.ledger, ListScan.RECONCILE).page
    simulation.at(simulation.now_us - HOUR)
    first = take_page(simulation.ledger, ListScan.RECONCILE)
    simulation.pass_(6)

    assert first.page or first.at - boot_clock() < 11  # the last slot was booked a window ahead
    assert take_page(simulation.ledger, ListScan.RECONCILE).page


def repair_all(simulation):
    """Let the repair walk through all keys of this Redis."""
    cursor = None
    while cursor != "0":
        repair_agenda(simulation.ledger, 10_000)
        cursor = simulation.client.get(simulation.keys.repair_cursor)


def test_an_entry_of_the_wrong_hour_comes_nearer(simulation):
    ((number, _),) = simulation.numbers(1)
    simulation.at(simulation.now_us + HOUR)
    work_off_agenda(simulation.ledger, 10, QUEUES)
    simulation.at(simulation.now_us - HOUR)
    repair_all(simulation)

    assert simulation.client.zscore(simulation.keys.agenda, number) * MS <= simulation.now_us + 10 * MINUTE


def test_a_number_that_is_held_in_the_wrong_hour_is_looked_at_soon(simulation):
    (request,) = simulation.numbers(1)
    control.pause(simulation.ledger)
    simulation.begin(request)
    simulation.at(simulation.now_us + HOUR)
    work_off_agenda(simulation.ledger, 10, QUEUES)
    simulation.at(simulation.now_us - HOUR)
    control.resume(simulation.ledger)
    repair_all(simulation)
    simulation.pass_(31)

    assert [entry.action for entry in work_off_agenda(simulation.ledger, 10, QUEUES)] == [AgendaAction.ENQUEUE]


@pytest.mark.parametrize("outcome", [None, TAKEN])
def test_a_claim_whose_lease_ended_by_a_jump_is_given_back_or_settled_and_not_repeated(
    simulation, outcome, monkeypatch
):
    monkeypatch.setattr("tasks.sweep.send_message", lambda _: pytest.fail("a message was sent"))
    (request,) = simulation.numbers(1)
    begun = simulation.begin(request)
    simulation.at(simulation.now_us + HOUR)
    actions = [entry.action for _ in range(2) for entry in work_off_agenda(simulation.ledger, 10, QUEUES)]
    end_doubt(simulation.ledger, simulation.record(request), None, hold=False)
    if outcome:
        simulation.settle(begun, outcome)
    else:
        assert simulation.begin(request, fence=begun.fence).verdict is Verdict.LATER

    assert actions == [AgendaAction.DOUBTED, AgendaAction.LOOK_UP]
    assert simulation.record(request).state is (State.CODE_SENT if outcome else State.QUEUED)


def test_another_code_waits_longer_than_a_code_lives_in_case_the_clock_is_ahead(simulation):
    (request,) = simulation.numbers(1, Lane.INTERACTIVE)
    record = simulation.send(request, TAKEN)

    assert record.expires_at - record.code_sent_at == timedelta(minutes=15)
    assert record.live_until - record.expires_at == timedelta(seconds=30)


class Hosts:
    """A ledger in true time, as several processes have it. Redis' clock may be another one."""

    def __init__(self, client, monkeypatch):
        self.client, self.ahead_us = client, 0
        monkeypatch.setattr("ringproof.ledger.clock_watch.boot_clock", self.boot_clock)
        self.simulation = Simulation(client, clock=REDIS_CLOCK)

    def boot_clock(self):
        return (int(self.client.get("test:now_us")) - self.ahead_us) / SECOND

    def process(self, *, knows_the_clock=True):
        """Start one more process."""
        ledger = Ledger(self.client, prefix=self.simulation.prefix, clock=REDIS_CLOCK)
        if knows_the_clock:
            ledger.now()
        return ledger

    def jump(self, by_us):
        self.ahead_us += by_us
        self.simulation.at(self.simulation.now_us + by_us)

    def jumps(self):
        return list(map(int, self.client.hvals(self.simulation.keys.jumps)))


@pytest.fixture
def hosts(client, monkeypatch):
    return Hosts(client, monkeypatch)


def ask_again(ledger, number, kind=RequestKind.PERSON):
    return ledger.accept(number, kind=kind, token=secrets.token_hex(4)).disposition


@pytest.mark.parametrize("by", [20 * SECOND, HOUR, 30 * 24 * HOUR])
def test_a_code_lives_as_long_after_a_jump_as_without_it(hosts, by):
    simulation = hosts.simulation
    (request,) = simulation.numbers(1, Lane.INTERACTIVE)
    simulation.send(request, TAKEN)
    simulation.pass_(60)
    hosts.jump(by)
    soon = ask_again(simulation.ledger, request[0])
    simulation.pass_(14 * 60 + 20)
    shortly_before_its_end = ask_again(simulation.ledger, request[0])
    simulation.pass_(15)

    assert soon is shortly_before_its_end is Disposition.RETURNED
    assert ask_again(simulation.ledger, request[0]) is Disposition.ACCEPTED


@pytest.mark.parametrize("by", [20 * SECOND, HOUR, -HOUR])
def test_the_code_of_an_erased_number_lives_as_long_after_a_jump(hosts, by):
    simulation = hosts.simulation
    ((number, request),) = simulation.numbers(1, Lane.INTERACTIVE)
    simulation.send((number, request), TAKEN)
    simulation.pass_(60)
    erase_number(simulation.ledger, number)
    hosts.jump(by)
    soon = ask_again(simulation.ledger, number)
    simulation.pass_(14 * 60 + 20)
    shortly_before_its_end = ask_again(simulation.ledger, number)
    simulation.pass_(15)

    assert soon is shortly_before_its_end is Disposition.RETURNED
    assert ask_again(simulation.ledger, number) is Disposition.ACCEPTED


def test_a_code_that_had_died_when_its_number_was_erased_is_not_alive_again_when_the_clock_is_set_back(hosts):
    simulation = hosts.simulation
    ((number, request),) = simulation.numbers(1, Lane.INTERACTIVE)
    simulation.send((number, request), TAKEN)
    simulation.pass_(16 * 60)
    erase_number(simulation.ledger, number)
    hosts.jump(-HOUR)

    assert ask_again(simulation.ledger, number) is Disposition.ACCEPTED


def test_a_jump_does_not_shorten_the_cooldown_of_a_verified_number(hosts):
    simulation = hosts.simulation
    (request,) = simulation.numbers(1, Lane.INTERACTIVE)
    record = simulation.send(request, TAKEN)
    at = record.code_sent_at
    entered = VerifiedNumber(request[0], "", "US", at, at, "", record.verification_uuid)
    assert mark_verified(simulation.ledger, [entered]) == [Marked.VERIFIED]
    hosts.jump(HOUR)
    soon = ask_again(simulation.ledger, request[0], RequestKind.RESEND)
    simulation.pass_(61)

    assert soon is Disposition.COOLING_DOWN
    assert ask_again(simulation.ledger, request[0], RequestKind.RESEND) is Disposition.ACCEPTED


@pytest.mark.parametrize("by", [HOUR, -HOUR])
def test_the_people_who_need_a_slot_are_counted_after_a_jump_as_before_it(hosts, by):
    simulation, backlog = hosts.simulation, hosts.simulation.keys.backlog("sms")
    numbers = [number for number, _ in simulation.numbers(3, Lane.INTERACTIVE)]
    before = dict(hosts.client.zrange(backlog, 0, -1, withscores=True))
    hosts.jump(by)
    answers = {ask_again(simulation.ledger, number) for number in numbers}
    after = dict(hosts.client.zrange(backlog, 0, -1, withscores=True))

    assert answers == {Disposition.SAME}
    assert after == pytest.approx({number: before[number] + by // MS for number in numbers}, abs=5)


def test_a_process_that_has_just_started_sees_what_another_one_has_noted(hosts):
    ((number, request),) = hosts.simulation.numbers(1, Lane.INTERACTIVE)
    hosts.jump(HOUR)
    hosts.simulation.ledger.now()

    assert hosts.process(knows_the_clock=False).begin([(number, request)])[0].verdict is Verdict.BEGUN


@pytest.mark.parametrize("by", [HOUR, -HOUR])
def test_a_program_that_may_only_read_the_pace_can_ask_for_a_code_after_a_jump(hosts, by):
    reserve_slot(hosts.simulation.ledger)
    pace = hosts.client.hgetall(hosts.simulation.keys.pace)
    hosts.jump(by)

    assert ask_again(hosts.simulation.ledger, fresh_number()) is Disposition.ACCEPTED
    assert hosts.client.hgetall(hosts.simulation.keys.pace) == pace


def test_of_many_processes_one_notes_a_jump(hosts, caplog):
    processes = [hosts.process() for _ in range(3)]
    for by in (HOUR, MINUTE):
        hosts.jump(by)
        for process in processes:
            process.now()

    assert sorted(hosts.jumps()) == pytest.approx([MINUTE // MS, HOUR // MS], abs=5)
    assert [record.getMessage() for record in caplog.records] == [
        f"Redis' clock has jumped ahead by {by}; its machine needs NTP" for by in ("1:00:00", "0:01:00")
    ]


def test_a_jump_is_forgotten_when_the_clock_is_set_right(hosts):
    simulation = hosts.simulation
    (request,) = simulation.numbers(1, Lane.INTERACTIVE)
    simulation.send(request, TAKEN)
    hosts.jump(HOUR)
    simulation.ledger.now()
    simulation.pass_(60)
    hosts.jump(-HOUR)
    ends = [simulation.record(request).live_until for _ in range(2) if ask_again(simulation.ledger, request[0])]

    assert hosts.jumps() == []
    assert ends == [simulation.moment(14.5 * 60)] * 2
    hosts.jump(HOUR)
    simulation.ledger.now()
    assert hosts.jumps() == [pytest.approx(HOUR // MS, abs=5)]


def test_a_jump_that_was_set_back_in_part_counts_for_the_rest(hosts):
    simulation = hosts.simulation
    (request,) = simulation.numbers(1, Lane.INTERACTIVE)
    simulation.send(request, TAKEN)
    hosts.jump(HOUR)
    simulation.ledger.now()
    simulation.pass_(5)
    hosts.jump(-20 * SECOND)
    soon = ask_again(simulation.ledger, request[0], RequestKind.RESEND)
    simulation.pass_(61)

    assert hosts.jumps() == [pytest.approx((HOUR - 15 * SECOND) // MS, abs=5)]
    assert soon is Disposition.COOLING_DOWN
    assert ask_again(simulation.ledger, request[0], RequestKind.RESEND) is Disposition.ACCEPTED


def test_a_call_that_was_under_way_for_long_is_no_jump(hosts, monkeypatch):
    ledger = hosts.process()
    run, calls = ledger._run, []

    def slow(*args, **options):
        calls.append(args)
        if len(calls) < 3:
            hosts.simulation.pass_(30)
        return run(*args, **options)

    monkeypatch.setattr(ledger, "_run", slow)

    assert ask_again(ledger, "+14155550123") is Disposition.ACCEPTED
    assert hosts.jumps() == []


def test_a_process_that_has_not_called_since_a_code_was_sent_notes_a_jump(hosts):
    ledger = hosts.process()
    hosts.simulation.pass_(16 * 60)
    hosts.jump(HOUR)
    ledger.now()

    assert hosts.jumps() == pytest.approx([HOUR // MS], abs=5)


def test_a_process_that_has_not_called_for_an_hour_notes_no_jump(hosts):
    ledger = hosts.process()
    hosts.simulation.pass_(3600)
    hosts.jump(HOUR)
    ledger.now()

    assert hosts.jumps() == []
