"""Each outcome of the page "results and errors", through one of the applications of examples/.

test_example_projects.py runs it in a process of its own, with the pytest plugin, once for each of the three. An answer
has a status, and a sentence for the user; 500 is for what no user causes. No number gets into a log.
"""

import importlib
import logging
import re
from dataclasses import replace
from fractions import Fraction

import pytest
from pages import NAME, Page

from ringproof import runtime
from ringproof.ledger import control
from ringproof.phone.number import parse
from ringproof.policy import Rate
from ringproof.settings import Settings
from ringproof.testing.environment import PACE
from ringproof.words.catalogue import english

NUMBER = "+14155550123"

if NAME == "django":
    pytestmark = pytest.mark.django_db(transaction=True)


def is_sentence(text, name):
    """Whether a text is this sentence of the catalogue: `Capped.backlog`, with any wait."""
    table, _, reason = name.partition(".")
    wanted = re.escape(english()[table][reason or "otherwise"])
    return re.fullmatch(re.sub(r"\\{\w+\\}", r"\\w+( \\w+)?", wanted), text or "") is not None


def check(answer, status, name):
    assert answer.status == status
    assert is_sentence(answer.sentence, name), answer.sentence
    assert ("Retry-After" in answer.headers) is (status in {429, 503})
    assert NUMBER[-10:] not in f"{answer.body} {dict(answer.headers)}", "nor does an answer lead to an address with it"


def check_asked(answer, status, name):
    """The answer to who asks for a code. A sign-up of Django has stored the user by then, and says so: 201."""
    if NAME == "django" and answer.status == 201:
        assert is_sentence(answer.sentence, name), answer.sentence
    else:
        check(answer, status, name)


class Lines(logging.Handler):
    """Keeps what is logged while a test runs, at every level."""

    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        self.lines.append(self.format(record))


@pytest.fixture(autouse=True)
def _no_number_in_a_log(ringproof):
    handler, root = Lines(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield
    root.removeHandler(handler)
    root.setLevel(level)
    assert not [line for line in handler.lines if NUMBER[-10:] in line]


@pytest.fixture
def page(ringproof):
    return Page()


@pytest.fixture
def impatient(page, monkeypatch):
    """Have the application wait for a worker for half a second, in place of ten."""
    monkeypatch.setattr(importlib.import_module(Page.module), "WAIT_SECONDS", 0.5)


@pytest.fixture
def ledger(ringproof):
    return runtime.ledger()


@pytest.fixture
def publish(ledger):
    """Publish a policy with changes."""
    return lambda **changes: ledger.publish_policy(replace(Settings.read(PACE).policy, **changes))


@pytest.fixture
def configure(ringproof, monkeypatch):
    """Change variables of the application's process."""

    def configure_(**variables):
        now = runtime.origin
        monkeypatch.setattr(runtime, "origin", runtime.Origin({**now.variables, **variables}, now.lua_clock))

    return configure_


class TestAsking:
    @pytest.mark.parametrize(
        ("written", "reason"),
        [
            ("555-0199", "no_country"),
            ("call me", "not_a_number"),
            ("+1 415 555 012", "impossible"),
            ("+44 20 7946 0958", "landline_sms"),
            ("+881 6 1234 5678", "network"),
            ("+44 70 1234 5678", "personal"),
        ],
    )
    def test_a_number_that_gets_no_code(self, page, ledger, written, reason):
        check(page.ask(written), 422, f"InvalidNumber.{reason}")
        assert ledger.run("keys", f"{ledger.keys.prefix}:number:*") == []

    def test_a_country_that_the_workers_alone_leave_out(self, page, publish):
        publish(countries=("GB",))
        check_asked(page.ask(NUMBER), 422, "InvalidNumber.country")

    def test_too_early(self, page, ringproof):
        page.ask(NUMBER)
        ringproof.settle()
        check(page.resend(), 429, "CoolingDown")

    @pytest.mark.parametrize(
        ("limit", "policy"),
        [("codes_per_day", {"max_codes_per_day": 1}), ("people_codes_per_day", {"people_codes_per_day": 1})],
    )
    def test_a_cap(self, page, ringproof, publish, limit, policy):
        publish(**policy)
        page.ask(NUMBER)
        ringproof.travel(minutes=2)
        check(page.resend(), 429, f"Capped.{limit}")

    def test_a_crowd(self, page, publish, ledger):
        publish(rate=Rate(1, Fraction(600)))
        control.pause(ledger)
        others = [Page() for _ in range(4)]
        answers = [other.ask(f"+1415555013{nth}") for nth, other in enumerate([*others, page])]
        check_asked(answers[-1], 429, "Capped.backlog")

    def test_redis_is_away(self, page, configure):
        configure(RINGPROOF_REDIS_URL="redis://127.0.0.1:1/0")
        check_asked(page.ask(NUMBER), 503, "LedgerUnavailable")

    def test_too_few_replicas(self, page, configure):
        configure(RINGPROOF_REPLICAS="1")
        check_asked(page.ask(NUMBER), 503, "LedgerUnavailable")

    def test_a_record_that_somebody_has_changed(self, page, ledger):
        ledger.run("set", ledger.keys.record(NUMBER), "junk")
        check_asked(page.ask(NUMBER), 500, "LedgerDamaged")

    def test_a_wrong_setting(self, page, configure):
        configure(RINGPROOF_REGION="Narnia")
        check(page.ask(NUMBER), 500, "Exception")

    def test_a_second_click_is_accepted_and_sends_nothing(self, page, phones):
        page.ask(NUMBER)
        assert page.ask(NUMBER).status == 202
        assert len(phones.inbox(NUMBER)) == 1


class TestWhereARequestStands:
    @pytest.fixture
    def paused(self, ledger):
        control.pause(ledger)

    def stands(self, page):
        answer = page.state()
        assert (answer.status, answer.sentence) == (200, None)
        return answer.body["state"]

    def test_somebody_elses_is_not_shown(self, page, ringproof):
        Page().ask(NUMBER)
        ringproof.settle()
        page.ask(NUMBER)
        assert self.stands(page) == "PENDING"

    @pytest.mark.usefixtures("paused", "impatient")
    def test_it_waits(self, page, ringproof):
        page.ask(NUMBER)
        ringproof.settle()
        assert self.stands(page) == "WAITING"

    def test_the_code_is_sent_and_expires_and_the_number_is_verified(self, page, ringproof, phones):
        page.ask(NUMBER)
        ringproof.settle()
        assert self.stands(page) == "SUCCESS"
        ringproof.travel(minutes=16)
        assert self.stands(page) == "SUCCESS"
        page.resend()
        phones.enter(NUMBER)
        assert self.stands(page) == "SUCCESS"

    @pytest.mark.parametrize(
        ("misfortune", "name"),
        [("400", "Rejected"), ("403", "Forbidden"), ("500_after", "InDoubt"), ("timeout_after", "InDoubt")],
    )
    def test_plivo_did_not_take_it(self, page, ringproof, misfortune, name):
        ringproof.misfortune(misfortune, number=NUMBER)
        page.ask(NUMBER)
        ringproof.settle()
        check(page.state(), 409, name)

    def test_the_doubt_has_ended(self, page, ringproof):
        ringproof.misfortune("500_after")
        page.ask(NUMBER)
        ringproof.travel(minutes=30)
        check(page.state(), 409, "Failed")

    @pytest.mark.usefixtures("paused")
    def test_an_operator_has_cancelled_it(self, page, ringproof, ledger):
        page.ask(NUMBER)
        ringproof.settle()
        ledger.cancel(NUMBER, ledger.read(NUMBER).request)
        check(page.state(), 409, "Cancelled")

    def test_another_persons_request_took_its_place_and_its_outcome_is_no_longer_kept(self, page, ringproof, ledger):
        other = Page()
        page.ask(NUMBER)
        other.ask(NUMBER)
        ringproof.travel(minutes=2)
        assert other.resend().status == 202
        ledger.run("delete", ledger.keys.earlier(NUMBER))
        check(page.state(), 409, "Superseded")

    @pytest.mark.usefixtures("paused")
    @pytest.mark.parametrize(
        ("reason", "status", "name"),
        [
            ("capped", 429, "Capped"),
            ("country", 422, "InvalidNumber.country"),
            ("crashes_worker", 409, "Failed"),
            ("in_doubt", 409, "Failed"),
            ("too_late", 409, "TooLate"),
        ],
    )
    def test_it_has_failed_for_a_reason_that_only_a_worker_meets(self, page, ringproof, ledger, reason, status, name):
        page.ask(NUMBER)
        ringproof.settle()
        ledger.run("hset", ledger.keys.record(NUMBER), mapping={"state": "failed", "reason": reason})
        check(page.state(), status, name)

    @pytest.mark.usefixtures("impatient")
    def test_redis_is_away(self, page, configure):
        page.ask(NUMBER)
        configure(RINGPROOF_REDIS_URL="redis://127.0.0.1:1/0")
        if NAME == "fastapi":  # it waits for Redis, as the page does
            assert page.state().status == 503
        else:
            check(page.state(), 503, "LedgerUnavailable")


class TestEntering:
    @pytest.fixture
    def code(self, page, phones):
        page.ask(NUMBER)
        return phones.last_code(NUMBER)

    def test_the_right_code(self, page, code):
        answer = page.enter(f" {code[:2]}-{code[2:]} ")
        assert (answer.status, answer.body) == (200, {"state": "VERIFIED"})

    def test_a_wrong_one_until_no_tries_are_left(self, page, code, phones):
        wrong = phones.wrong_code(NUMBER)
        for _ in range(4):
            check(page.enter(wrong), 422, "WrongCode.tries_left")
        check(page.enter(wrong), 422, "WrongCode.no_tries_left")
        check(page.enter(code), 422, "TooManyTries")

    def test_so_many_wrong_ones_that_the_number_is_locked(self, page, code, phones, publish):
        publish(max_wrong_codes=2)
        wrong = phones.wrong_code(NUMBER)
        check(page.enter(wrong), 422, "WrongCode.tries_left")
        check(page.enter(wrong), 422, "WrongCode.locked")
        check(page.enter(code), 429, "Locked")

    @pytest.mark.parametrize("text", ["", "12", "123456789", "code", "\0"])
    @pytest.mark.usefixtures("code")
    def test_what_is_no_code(self, page, text):
        check(page.enter(text), 422, "InvalidRequest.code")

    def test_an_expired_one(self, page, code, ringproof):
        ringproof.travel(minutes=16)
        check(page.enter(code), 422, "CodeExpired")

    def test_a_second_time(self, page, code):
        page.enter(code)
        check(page.enter(code), 422, "NothingPending")

    def test_before_one_was_sent(self, page, ledger, ringproof):
        control.pause(ledger)
        page.ask(NUMBER)
        ringproof.settle()
        answer = page.enter("1234")
        assert answer.status == 422
        assert is_sentence(answer.sentence, "NothingPending")

    def test_without_having_asked(self, page, publish):
        if NAME == "django":  # its user has signed up, and got no code
            publish(countries=("GB",))
            page.ask(NUMBER)
            check(page.enter("1234"), 422, "InvalidRequest.request")
        else:
            check(page.enter("1234"), 422, "NothingPending")

    @pytest.mark.usefixtures("code")
    def test_one_that_was_sent_for_another_persons_request(self, page, ringproof, phones):
        other = Page()
        other.ask(NUMBER)
        ringproof.travel(minutes=2)
        assert other.resend().status == 202
        check(page.enter(phones.last_code(NUMBER)), 422, "AnotherRequest")

    def test_while_plivo_is_down(self, page, code, ringproof):
        ringproof.misfortune("502_before", operation="complete", times=9)
        check(page.enter(code), 503, "Unconfirmed")

    @pytest.mark.usefixtures("impatient")
    def test_while_no_worker_answers(self, page, code, ringproof):
        ringproof.misfortune("timeout_before", operation="complete", seconds=2)
        check(page.enter(code), 503, "TimeoutError")

    def test_while_redis_is_away(self, page, code, configure):
        configure(RINGPROOF_REDIS_URL="redis://127.0.0.1:1/0")
        check(page.enter(code), 503, "LedgerUnavailable")


@pytest.mark.skipif(NAME != "django", reason="tests/docs/test_web_apps.py has what a stranger sends to the others")
class TestWhatAStrangerSendsToDjango:
    @pytest.mark.parametrize(
        "form",
        [
            *({}, {"phone": ""}, {"phone": ["", ""]}, {"phone": "\0"}, {"phone": "1" * 100_000}, {"phone": "①②③④"}),
            *({"username": "\0"}, {"username": ""}, {"username": "x" * 151}, {"phone": "\u202e32105555141+"}),
        ],
    )
    def test_as_a_sign_up(self, page, ledger, form):
        answer = page.post("/sign-up", {"username": "eve", "password": "p", "phone": NUMBER} | form if form else {})
        assert (answer.status, bool(answer.body["errors"])) == (422, True)
        assert ledger.read(NUMBER) is None
        assert page.state().status == 403, "nobody was stored"

    @pytest.mark.parametrize("form", [{}, {"code": ["", "\0"]}, {"code": "1" * 9999}])
    def test_as_a_code(self, page, phones, ledger, form):
        page.ask(NUMBER)
        assert phones.inbox(NUMBER)
        check(page.post("/phone/code", form), 422, "InvalidRequest.code")
        assert ledger.read(NUMBER).tries == 0

    def test_as_a_body_that_is_too_large(self, page):
        page.ask(NUMBER)
        assert page.post("/phone", {"x": "x" * 3_000_000}).status == 400


def test_the_sentences_that_are_compared_are_those_of_the_catalogue():
    assert parse(NUMBER).e164 == NUMBER
    assert is_sentence("We have just sent you a code. You can have another one in 45 seconds.", "CoolingDown")
    assert not is_sentence("We have just sent you a code.", "CoolingDown")
