"""Plivo may know the credentials of one worker and not those of another: the first one does the work of both."""

from contextlib import contextmanager
from datetime import timedelta

import pytest
from support.simulation import CLOCK, SimulatedDistance, Simulation

from ringproof.errors import Forbidden, Rejected, Throttled, Unauthorized
from ringproof.ledger import control
from ringproof.ledger.agenda import work_off_agenda
from ringproof.ledger.answers import AgendaAction, Outcome, PlivoSignal, Verdict
from ringproof.ledger.confirmation import NextStep, store_code, take_code
from ringproof.ledger.heartbeats import ALIVE, beat
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.pace import replace_slots, report_answer
from ringproof.ledger.plivo_credentials import Standing, check_credentials, leaves_work, unknown_credentials
from ringproof.ledger.plivo_list import ListScan, request_scan, take_page
from ringproof.ledger.queues import TICKS, queue
from ringproof.ledger.record import Lane, Reason, State
from ringproof.secret_str import SecretStr
from worker.sending.outcomes import outcome_of

TAKEN = Outcome(State.CODE_SENT, verification_uuid="uuid", api_id="api", plivo_signal=PlivoSignal.TAKEN)
UNAUTHORIZED = outcome_of(Unauthorized("401"), 1)
QUEUES = {lane: f"test.{lane}" for lane in Lane}
BULK = (queue(Lane.BULK),)
OLD, NEW, OTHER = "01d", "2e3", "07e"


class Hosts(Simulation):
    """Workers of several hosts in simulated time, each with credentials of its own."""

    def beat(self, *digests, queues=BULK):
        for digest in digests:
            beat(self.ledger, f"bulk@{digest}", {"kind": "worker", "queues": queues, "credentials": digest})

    @contextmanager
    def at_host(self, digest):
        usual = self.ledger
        self.ledger = Ledger(self.client, prefix=self.prefix, clock=CLOCK, credentials=digest)
        self.ledger.slot_clock = SimulatedDistance()
        try:
            yield self.ledger
        finally:
            self.ledger = usual

    def is_refused(self, digest, request=None):
        """A worker of this host sends to a number, and Plivo does not know its credentials."""
        with self.at_host(digest):
            return self.send(request or self.numbers(1)[0], UNAUTHORIZED)

    def verdict(self, digest, lane=Lane.BULK):
        with self.at_host(digest):
            return self.begin(*self.numbers(1, lane)).verdict

    def standing(self, digest):
        with self.at_host(digest) as ledger:
            return check_credentials(ledger)

    def is_paused(self):
        return any(pause.kind == "credentials" for pause in control.sending_status(self.ledger).pauses)


@pytest.fixture
def hosts(client):
    return Hosts(client)


class TestOneHostOfTwo:
    @pytest.mark.parametrize("lane", [Lane.INTERACTIVE, Lane.BULK])
    def test_begins_nothing_and_its_numbers_stay_queued_for_the_other(self, hosts, lane):
        hosts.beat(OLD, NEW)
        hosts.is_refused(OLD)
        (request,) = hosts.numbers(1, lane)
        before = hosts.record(request)
        with hosts.at_host(OLD):
            begun = hosts.begin(request)

        assert (begun.verdict, begun.record) == (Verdict.ELSEWHERE, None)
        assert hosts.record(request) == before
        with hosts.at_host(NEW):
            assert hosts.send(request, TAKEN).state is State.CODE_SENT

    @pytest.mark.parametrize("lane", [Lane.INTERACTIVE, Lane.BULK])
    def test_a_number_that_got_the_401_is_queued_again_and_its_attempt_does_not_count(self, hosts, lane):
        hosts.beat(OLD, NEW)
        (request,) = hosts.numbers(1, lane)
        record = hosts.is_refused(OLD, request)

        assert (record.state, record.attempts, record.live_until, record.due_at) == (State.QUEUED, 0, None, None)
        assert work_off_agenda(hosts.ledger, 100, QUEUES) == []
        hosts.pass_(1)
        (enqueued,) = work_off_agenda(hosts.ledger, 100, QUEUES)
        assert (enqueued.action, enqueued.phone_number) == (AgendaAction.ENQUEUE, request[0])

    def test_does_not_pause_the_other(self, hosts):
        hosts.beat(OLD, NEW)
        hosts.is_refused(OLD)

        assert not hosts.is_paused()
        assert unknown_credentials(hosts.client.hgetall(hosts.keys.pauses)) == {OLD: hosts.moment()}
        assert hosts.standing(OLD) == Standing(hosts.moment(), leaves_work=True, probes=False)
        assert hosts.standing(NEW) == Standing(None, leaves_work=False, probes=False)

    def test_gives_back_what_it_has_begun_and_not_sent(self, hosts):
        hosts.beat(OLD, NEW)
        waits, refused = hosts.numbers(2, Lane.INTERACTIVE)
        with hosts.at_host(OLD):
            begun = hosts.begin(waits)
        hosts.is_refused(OLD, refused)
        with hosts.at_host(OLD) as ledger:
            assert replace_slots(ledger, [(begun.record, begun.at_us)])[0] is None
            again = hosts.begin(waits, fence=begun.fence)

        assert (again.verdict, hosts.record(waits).state) == (Verdict.LATER, State.QUEUED)

    def test_takes_no_code_of_a_user_and_no_page_of_the_list(self, hosts):
        hosts.beat(OLD, NEW)
        (request,) = hosts.numbers(1)
        hosts.send(request, TAKEN)
        hosts.is_refused(OLD)
        handle = store_code(hosts.ledger, SecretStr("4829"))
        request_scan(hosts.ledger, ListScan.SYNC)
        with hosts.at_host(OLD) as ledger:
            assert take_code(ledger, request[0], handle).step is NextStep.ELSEWHERE
            assert take_page(ledger, ListScan.SYNC).at is None
        assert hosts.record(request).tries == 0
        with hosts.at_host(NEW) as ledger:
            taken = take_code(ledger, request[0], handle)
            assert take_page(ledger, ListScan.SYNC).at

        assert (taken.step, taken.code.get_secret_value()) == (NextStep.ASK, "4829")

    def test_its_own_probe_is_due_every_thirty_seconds_for_one_of_its_workers(self, hosts):
        hosts.beat(OLD, NEW)
        hosts.is_refused(OLD)
        asked = []
        for _ in range(6):
            hosts.pass_(10)
            hosts.beat(OLD, NEW)
            asked.append([hosts.standing(digest).probes for digest in (OLD, OLD, NEW)])

        assert asked == [[False] * 3, [False] * 3, [True, False, False]] * 2

    def test_to_ask_whether_it_leaves_its_work_takes_no_probe(self, hosts):
        hosts.beat(OLD, NEW)
        hosts.is_refused(OLD)
        hosts.pass_(30)
        hosts.beat(OLD, NEW)
        with hosts.at_host(OLD) as ledger:
            assert leaves_work(ledger)

        assert hosts.standing(OLD).probes

    @pytest.mark.parametrize(
        "answer",
        [TAKEN, outcome_of(Forbidden("403"), 1), outcome_of(Rejected("400"), 1), outcome_of(Throttled("429"), 1)],
        ids=["taken", "403", "400", "429"],
    )
    def test_begins_again_after_any_other_answer_to_itself_and_after_none_to_the_other(self, hosts, answer):
        hosts.beat(OLD, NEW)
        with hosts.at_host(OLD):
            refused, later = (hosts.begin(one) for one in hosts.numbers(2, Lane.INTERACTIVE))
            hosts.pass_(1)
            hosts.settle(refused, UNAUTHORIZED)
        with hosts.at_host(NEW) as ledger:
            report_answer(ledger, PlivoSignal.KNOWN)
        assert hosts.verdict(OLD) is Verdict.ELSEWHERE
        with hosts.at_host(OLD):
            hosts.settle(later, answer)

        assert hosts.standing(OLD) == Standing(None, leaves_work=False, probes=False)

    def test_may_try_again_after_a_resume(self, hosts):
        hosts.beat(OLD, NEW)
        hosts.is_refused(OLD)
        control.resume(hosts.ledger)

        assert hosts.verdict(OLD) is Verdict.BEGUN

    def test_is_forgotten_an_hour_after_its_last_401(self, hosts):
        hosts.beat(OLD, NEW)
        hosts.is_refused(OLD)
        hosts.pass_(3599)
        hosts.standing(NEW)
        assert unknown_credentials(hosts.client.hgetall(hosts.keys.pauses))
        hosts.pass_(10)
        hosts.standing(NEW)

        assert hosts.client.hgetall(hosts.keys.pauses) == {}


class TestTwoGoodTokens:
    def test_of_one_account_both_send(self, hosts):
        hosts.beat(OLD, NEW)

        assert [hosts.verdict(digest) for digest in (OLD, NEW)] == [Verdict.BEGUN] * 2

    def test_a_new_token_sends_at_once_where_the_old_one_was_refused(self, hosts):
        hosts.beat(OLD, OTHER)
        hosts.is_refused(OLD)

        assert hosts.verdict(NEW) is Verdict.BEGUN


class TestAllHosts:
    @pytest.fixture
    def refused(self, hosts):
        hosts.beat(OLD, OTHER)
        hosts.is_refused(OLD)
        hosts.is_refused(OTHER)
        return hosts

    def test_pause_all_sending_and_the_numbers_wait(self, refused):
        (request,) = refused.numbers(1)
        with refused.at_host(OLD):
            begun = refused.begin(request)

        assert refused.is_paused()
        assert (begun.verdict, refused.record(request).reason) == (Verdict.WAITING, Reason.PAUSED)
        assert refused.standing(OLD).unknown_since
        assert not refused.standing(OLD).leaves_work

    def test_the_number_of_the_last_refusal_waits_for_the_probe(self, hosts):
        hosts.beat(OLD, OTHER)
        hosts.is_refused(OLD)
        record = hosts.is_refused(OTHER)

        assert (record.state, record.reason, record.due_at) == (State.WAITING, Reason.PAUSED, hosts.moment(30))

    def test_the_status_shows_when_the_next_worker_asks(self, hosts):
        hosts.beat(OLD, OTHER)
        hosts.is_refused(OLD)
        hosts.pass_(10)
        hosts.is_refused(OTHER)
        (pause,) = control.sending_status(hosts.ledger).pauses

        assert hosts.moment(19) <= pause.next_look <= hosts.moment(20)

    def test_it_ends_for_the_host_that_plivo_knows_again(self, refused):
        refused.pass_(30)
        refused.beat(OLD, OTHER)
        assert [refused.standing(digest).probes for digest in (OLD, OTHER)] == [True, True]
        with refused.at_host(OTHER) as ledger:
            report_answer(ledger, PlivoSignal.KNOWN)

        assert not refused.is_paused()
        assert refused.verdict(OTHER) is Verdict.BEGUN
        assert refused.verdict(OLD) is Verdict.ELSEWHERE

    def test_it_ends_when_a_worker_with_another_token_starts(self, refused):
        assert refused.standing(NEW) == Standing(None, leaves_work=False, probes=False)

        assert not refused.is_paused()
        assert refused.verdict(NEW) is Verdict.BEGUN

    def test_a_worker_that_only_ticks_does_not_end_it(self, refused):
        with refused.at_host(NEW) as ledger:
            refused.beat(NEW, queues=[TICKS])
            check_credentials(ledger, sends=False)

        assert refused.is_paused()

    def test_it_ends_by_a_resume_and_begins_with_the_next_refusals(self, refused):
        control.resume(refused.ledger)
        assert not refused.is_paused()
        refused.is_refused(OLD)
        assert not refused.is_paused()
        refused.is_refused(OTHER)

        assert refused.is_paused()

    def test_it_begins_when_the_last_good_host_is_gone(self, hosts):
        hosts.beat(OLD, NEW)
        hosts.is_refused(OLD)
        hosts.pass_(ALIVE / timedelta(seconds=1) + 1)
        hosts.beat(OLD)

        assert not hosts.standing(OLD).leaves_work
        assert hosts.is_paused()

    def test_a_heartbeat_that_cannot_be_read_is_no_worker(self, refused):
        now = refused.now_us // 1000
        of_others = '{"at": %d, "credentials": "2e3", "queues": %s}'
        for junk in (
            "{",
            '"text"',
            "5",
            "{}",
            '{"at": "?", "credentials": 7}',
            *(of_others % (now, one) for one in "51"),
        ):
            refused.client.hset(refused.keys.heartbeats, junk, junk)

        assert refused.standing(OLD).unknown_since
        assert refused.is_paused()
