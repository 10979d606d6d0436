"""The breaker of a country: it opens if hardly any of the people who ask for codes there enter them."""

import secrets
from datetime import timedelta

import pytest
from support.simulation import Simulation
from test_caps_on_people import shown

from ringproof.clock import moment
from ringproof.errors import Capped
from ringproof.ledger import control
from ringproof.ledger.acceptance import Disposition, RequestKind
from ringproof.ledger.agenda import work_off_agenda
from ringproof.ledger.answers import Outcome, PlivoSignal, Verdict
from ringproof.ledger.confirmation import Source, mark_verified
from ringproof.ledger.record import Lane, State
from ringproof.plivo.client import VerifiedNumber
from ringproof.policy import Policy

MINUTE = 60
QUEUES = {lane: f"test.{lane}" for lane in Lane}


class World(Simulation):
    """People who ask for codes for German numbers, each in a range of its own."""

    def ask(self, number=None, country="DE", **options):
        number = number or f"+4915{secrets.randbelow(10**9):09}"
        return number, self.ledger.accept(number, token=secrets.token_hex(8), country=country, **options)

    def code(self, number=None, **options):
        """Have a code sent, and return the number; None if the request was refused."""
        number, accepted = self.ask(number, **options)
        if accepted.disposition is not Disposition.ACCEPTED:
            return None
        uuid = secrets.token_hex(16)
        sent = Outcome(State.CODE_SENT, verification_uuid=uuid, api_id="api", plivo_signal=PlivoSignal.TAKEN)
        self.send((number, accepted.request), sent)
        return number

    def codes(self, count, **options):
        return [self.code(**options) for _ in range(count)]

    def enter(self, number, handle="h" * 16, uuid=None, source=Source.CODE):
        """Have Plivo report a number as verified: by the last code, or by another one."""
        now = moment(self.now_us // 1000)
        uuid = uuid or self.ledger.read(number).verification_uuid
        mark_verified(self.ledger, [VerifiedNumber(number, "", "DE", now, now, "", uuid)], handle=handle, source=source)

    def die(self, after=16 * MINUTE):
        """Have all codes die, Plivo's list be read, and the agenda be worked off."""
        self.pass_(after)
        self.client.hset(self.keys.list_scan("reconcile"), "looked", self.now_us // 1000)
        while work_off_agenda(self.ledger, 1000, QUEUES):
            pass

    def open(self):
        self.codes(10)
        self.die()
        assert self.breaker().open_since

    def breaker(self, country="DE"):
        return {one.country: one for one in control.sending_status(self.ledger).breakers}.get(country)


@pytest.fixture
def world(client):
    return World(client, breaker_percent=30, breaker_codes=10, max_codes_per_day=10, cooldown_ms=1000)


def test_it_opens_when_fewer_of_the_last_codes_were_entered_and_says_when_to_ask_again(world):
    known = world.code()
    world.enter(known)
    world.pass_(1)
    assert world.breaker().entered == 1
    world.codes(8)
    world.die()
    assert not world.breaker().open_since  # nine codes are too few to judge
    world.codes(1)
    world.die()
    probe = world.code()
    refused = world.ask()[1]

    assert probe
    assert world.breaker().open_since
    assert (refused.disposition, refused.limit) == (Disposition.CAPPED, "breaker")
    assert timedelta(minutes=5) < refused.until - world.moment() <= timedelta(minutes=6)
    assert "RINGPROOF_BREAKER_PERCENT" in str(Capped(refused.limit, refused.until))
    assert control.sending_status(world.ledger).refusals == {"breaker": 1}


def test_a_number_that_was_verified_before_is_served_while_it_is_open(world):
    known = world.code()
    world.enter(known)
    for _ in range(2):
        world.codes(10)
        world.die()
    world.code()  # the probe of this moment

    assert world.breaker().open_since
    assert world.code() is None
    assert world.code(known, kind=RequestKind.RESEND) == known


def test_a_person_of_another_country_and_a_batch_are_not_held_up(world):
    world.open()
    world.code()

    assert world.code() is None
    assert world.code(f"+336{secrets.randbelow(10**8):08}", country="FR")
    assert world.code(kind=RequestKind.ROSTER, lane=Lane.BULK)


def test_it_stays_closed_while_enough_people_enter_their_codes(world):
    for _ in range(20):
        for nth, number in enumerate(world.codes(10)):
            if nth < 3:
                world.enter(number)
        world.die()

    assert (world.breaker().codes, world.breaker().entered, world.breaker().open_since) == (10, 3, None)


def test_probes_come_one_by_one_and_close_it_once_they_are_entered(world):
    world.open()
    sent = []
    for _ in range(60):
        sent += [world.now_us] * len(list(filter(None, world.codes(2))))
        world.pass_(MINUTE)
    assert len(sent) == 10
    world.die()
    assert (world.breaker().codes, world.breaker().entered) == (10, 0)

    for nth in range(3):
        world.pass_(6 * MINUTE)
        assert (world.breaker().open_since is None) == (nth == 3)
        world.enter(world.code())
    assert world.breaker() is None
    assert None not in world.codes(9)


def test_a_probe_that_ends_without_a_code_gives_its_place_to_the_next_number(world):
    world.open()
    number, first = world.ask()
    assert world.ask()[1].limit == "breaker"
    world.ledger.cancel(number, first.request)
    late, second = world.ask()
    world.pass_(6 * MINUTE)
    assert world.code()
    world.ledger.cancel(late, second.request)

    assert second.disposition is Disposition.ACCEPTED
    assert world.ask()[1].limit == "breaker"  # the place that the late one has given back is taken


def test_what_was_accepted_before_it_opened_is_sent(world):
    world.codes(10)
    world.pass_(10 * MINUTE)
    number, early = world.ask()
    world.die(after=6 * MINUTE)
    assert world.ask()[1].disposition is Disposition.ACCEPTED  # the probe
    assert world.ask()[1].limit == "breaker"

    assert world.begin((number, early.request)).verdict is Verdict.BEGUN


def test_codes_from_before_it_opened_do_not_close_it(world):
    first = world.codes(10)
    world.pass_(10 * MINUTE)
    later = world.codes(10)
    world.pass_(6 * MINUTE)
    world.client.hset(world.keys.list_scan("reconcile"), "looked", world.now_us // 1000)
    work_off_agenda(world.ledger, 1000, QUEUES)
    assert [world.ledger.read(number).state for number in (first[0], later[0])] == [State.EXPIRED, State.CODE_SENT]
    assert world.breaker().open_since
    for number in later:
        world.enter(number)

    assert world.breaker().open_since


def test_the_codes_of_batches_and_of_verified_numbers_are_not_judged(world):
    world.codes(10, kind=RequestKind.ROSTER, lane=Lane.BULK)
    for _ in range(3):
        known = world.code()
        world.enter(known)
        world.pass_(2)
        world.code(known, kind=RequestKind.RESEND)
    world.die()

    assert (world.breaker().codes, world.breaker().entered) == (3, 3)


def test_a_code_that_was_entered_elsewhere_counts_and_another_programs_does_not(world):
    ours, anothers = world.codes(2)
    world.pass_(1)
    world.enter(ours, handle="")
    world.enter(anothers, handle="", uuid=secrets.token_hex(16))
    world.die()

    assert [world.ledger.read(number).state for number in (ours, anothers)] == [State.VERIFIED] * 2
    assert (world.breaker().codes, world.breaker().entered) == (1, 1)


def test_a_code_is_not_judged_before_plivos_list_was_read_after_its_end(world):
    world.codes(10)
    for _ in range(4):
        world.pass_(16 * MINUTE)
        work_off_agenda(world.ledger, 1000, QUEUES)

    assert world.breaker() is None


def test_a_number_with_several_codes_is_judged_once_by_the_last_one(world):
    number = world.code()
    for _ in range(3):
        world.pass_(2)
        world.code(number, kind=RequestKind.RESEND)
    world.enter(number)
    world.die()

    assert (world.breaker().codes, world.breaker().entered) == (1, 1)


def test_an_open_breaker_is_forgotten_once_no_person_has_asked_for_a_day(world):
    world.open()
    world.code()
    world.pass_(25 * 3600)

    assert not world.breaker().open_since
    assert None not in world.codes(9)


def test_a_probe_comes_at_once_after_redis_clock_was_set_back(world):
    world.open()
    world.code()
    world.pass_(-3600)

    assert world.code()


def test_at_0_percent_there_is_none(world):
    world.ledger.publish_policy(Policy(rate=world.rate, range_codes_per_hour=0, breaker_percent=0, breaker_codes=10))
    world.codes(20)
    world.die()

    assert None not in world.codes(10)


def test_the_status_names_the_country_and_how_many_codes_are_entered(world):
    world.open()
    world.code(f"+336{secrets.randbelow(10**8):08}", country="FR")
    world.die()
    text = shown(control.sending_status(world.ledger))

    assert "hardly any person enters a code to DE: since " in text
    assert "entered FR 0 of the last 1" in text


def test_with_the_defaults_a_pumped_country_gets_a_thousand_codes_at_first_and_then_ten_an_hour(client):
    world = World(client)
    world.ledger.publish_policy(Policy())
    numbers = [f"+4915{nth:05}{nth:04}" for nth in range(1800)]  # 1,800 ranges

    def attack(left):
        """Ask for all numbers that are left until one is refused, and return those that got no code."""
        for place, number in enumerate(left):
            if not world.code(number):
                return left[place:]
        return []

    started, by_hour = world.now_us, []
    left = attack(numbers)
    in_a_burst = len(numbers) - len(left)
    assert world.ask("+33612345678", country="FR")[1].disposition is Disposition.ACCEPTED
    while len(by_hour) < 24:
        world.pass_(10 * MINUTE)
        world.client.hset(world.keys.list_scan("reconcile"), "looked", world.now_us // 1000)
        while work_off_agenda(world.ledger, 1000, QUEUES):
            pass
        left = attack(left)
        if world.now_us - started >= (len(by_hour) + 1) * 3600 * 10**6:
            by_hour.append(len(numbers) - len(left))

    assert in_a_burst == by_hour[0] == 1000
    assert by_hour[-1] <= 1000 + 23 * 10
    assert by_hour[-1] - by_hour[-2] == 6  # he asks every ten minutes, and gets a probe each time
    assert world.breaker().open_since
