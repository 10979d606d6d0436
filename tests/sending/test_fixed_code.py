"""Test numbers: no code is sent to them, they cost nothing, count in no cap, and their fixed codes verify them."""

import json
from datetime import timedelta
from io import BytesIO

import pytest
from click.testing import CliRunner

from ringproof import confirm_verification, initiate_verification, is_verified, runtime
from ringproof.batches.importing import import_roster
from ringproof.errors import CodeExpired, CoolingDown, Locked, Misconfigured, TooManyTries, Unconfirmed, WrongCode
from ringproof.ledger import control, policy, reverification
from ringproof.ledger.answers import Verdict
from ringproof.ledger.removal import order_removal
from ringproof.policy import Policy
from ringproof.rosters.roster import open_roster
from ringproof.settings import Settings
from ringproof.testing import eager
from tasks import removal
from worker import cli

NUMBER, CODE = "+15005550006", "123456"
ANOTHER = "+15005550007"
USUAL = "+14155550166"  # it would get codes if it were no test number
REAL = "+14155550123"


@pytest.fixture(autouse=True)
def test_numbers(monkeypatch):
    monkeypatch.setenv("RINGPROOF_TEST_NUMBERS", f"{NUMBER}={CODE}, {ANOTHER}=0042,{USUAL}={CODE}")


@pytest.fixture
def sent():
    with eager() as codes:
        yield codes


def enter(code, number=NUMBER, **bound):
    return confirm_verification.delay(number, code, **bound).get(timeout=5)


def test_a_person_is_verified_by_the_fixed_code_and_plivo_is_asked_nothing(sent):
    verification = initiate_verification.delay(NUMBER, alias="Reviewer")

    assert verification.get(timeout=5)["state"] == "code_sent"
    assert not is_verified(NUMBER)
    confirmed = enter(CODE, request=verification.id)

    assert confirmed["state"] == "verified"
    assert confirmed["country"] == "US"
    assert confirmed["verification_uuid"] == verification.get()["verification_uuid"]
    assert is_verified(NUMBER)
    assert not sent, "no code was sent"


def test_another_number_is_sent_to_as_ever(sent):
    initiate_verification.delay(REAL)
    with pytest.raises(WrongCode):
        enter(CODE if sent[0].code != CODE else "0000", REAL)

    assert [one.phone_number for one in sent] == [REAL]


def test_a_wrong_code_behaves_as_usual(sent):
    for _ in range(2):
        verification = initiate_verification.delay(NUMBER)
        for left in (4, 3, 2, 1, 0):
            with pytest.raises(WrongCode) as caught:
                enter("9999", request=verification.id)
            assert caught.value.tries_left == left
        with pytest.raises((TooManyTries, Locked)):
            enter(CODE, request=verification.id)
        sent.travel(minutes=16)

    with pytest.raises(Locked):
        enter(CODE)


def test_the_code_expires_and_a_resend_cools_down(sent):
    initiate_verification.delay(NUMBER)
    with pytest.raises(CoolingDown):
        initiate_verification.delay(NUMBER, resend=True)
    sent.travel(minutes=16)
    with pytest.raises(CodeExpired):
        enter(CODE)
    initiate_verification.delay(NUMBER)

    assert enter(CODE)["state"] == "verified"


@pytest.mark.parametrize("cap", ["", "RINGPROOF_REQUESTER_CODES_PER_HOUR", "RINGPROOF_RANGE_CODES_PER_HOUR"])
def test_it_counts_in_no_cap(monkeypatch, cap):
    """The cap of a number is five codes a day, and those of people are one code here."""
    if cap:
        monkeypatch.setenv(cap, "1")
    with eager() as sent:
        for _ in range(7):
            assert initiate_verification.delay(NUMBER, requester="one").get(timeout=5)["state"] == "code_sent"
            sent.travel(seconds=901)
        packed = runtime.ledger().run("hgetall", runtime.ledger().keys.record(NUMBER))
        assert not sent
        initiate_verification.delay(REAL, requester="one")  # its cap is not reached
    assert not {"codes", "calls", "counted_at", "sample"} & packed.keys()


def test_the_list_of_countries_does_not_leave_it_out(monkeypatch):
    monkeypatch.setenv("RINGPROOF_COUNTRIES", "GB")
    with eager():
        initiate_verification.delay(NUMBER)

        assert enter(CODE)["state"] == "verified"


def test_it_takes_no_slot_and_no_pause_holds_it(sent):
    initiate_verification.delay(REAL).get(timeout=5)
    ledger = runtime.ledger()
    control.pause(ledger)
    before = ledger.run("hgetall", ledger.keys.pace)

    initiate_verification.delay(NUMBER)

    assert enter(CODE)["state"] == "verified"
    assert ledger.run("hgetall", ledger.keys.pace) == before
    assert initiate_verification.delay("+14155550124").state == "WAITING"


def test_a_roster_has_them_too(sent):
    with open_roster(BytesIO(f"phone\n{NUMBER}\n{REAL}\n{ANOTHER}\n".encode())) as rows:
        import_roster(rows, "people")
    sent.settle()

    assert [one.phone_number for one in sent] == [REAL]
    assert enter("0042", ANOTHER)["state"] == "verified"
    assert enter(CODE)["state"] == "verified"


@pytest.mark.parametrize("mode", ["check", "send"])
def test_a_verified_one_is_verified_again(monkeypatch, mode):
    monkeypatch.setenv("RINGPROOF_REVERIFY_AFTER_DAYS", "9")
    monkeypatch.setenv("RINGPROOF_REVERIFY_MODE", mode)
    with eager() as sent:
        initiate_verification.delay(NUMBER)
        enter(CODE)
        sent.travel(minutes=20)
        reverification.request(runtime.ledger(), [NUMBER])
        sent.settle()

        state = initiate_verification.AsyncResult(NUMBER).info["state"]
        assert state == ("verified" if mode == "check" else "code_sent")
        if mode == "send":
            enter(CODE)
        assert is_verified(NUMBER)
        assert not sent


def test_an_account_has_them_too(monkeypatch, tmp_path):
    accounts = tmp_path / "accounts.toml"
    accounts.write_text('[acme]\nauth_id = "MAXXXXXXXXXXXXXXXXXX"\nauth_token = "token"\n')
    accounts.chmod(0o600)
    monkeypatch.setenv("RINGPROOF_ACCOUNTS", str(accounts))
    with eager() as sent:
        verification = initiate_verification.delay(NUMBER, account="acme")

        assert enter(CODE, request=verification.id)["state"] == "verified"
        assert not sent


def test_a_worker_that_does_not_know_the_code_says_so(sent, monkeypatch):
    initiate_verification.delay(NUMBER)
    monkeypatch.setattr(runtime, "settings_of", lambda _: Settings.read({}))

    with pytest.raises(Unconfirmed, match="RINGPROOF_TEST_NUMBERS of this worker does not have the number"):
        enter(CODE)


def test_a_number_that_is_a_test_number_no_more_is_sent_to_for_real(sent):
    initiate_verification.delay(USUAL)
    ledger = runtime.ledger()
    ledger.run("hset", ledger.keys.policy, "test_numbers", "")
    sent.travel(minutes=16)

    initiate_verification.delay(USUAL)

    assert [one.phone_number for one in sent] == [USUAL]
    assert not ledger.read(USUAL).is_test
    assert enter(sent[0].code, USUAL)["state"] == "verified"


def test_what_undoes_an_attempt_leaves_the_count_of_real_codes(sent):
    """A claim that is taken back takes one code off the count: not one that was sent when it was no test number."""
    ledger = runtime.ledger()
    ledger.run("hset", ledger.keys.policy, "test_numbers", "")
    initiate_verification.delay(USUAL).get(timeout=5)
    codes = ledger.run("hget", ledger.keys.record(USUAL), "codes")
    ledger.run("hset", ledger.keys.policy, "test_numbers", f"{USUAL},")
    sent.travel(minutes=16)
    accepted = ledger.accept(USUAL, token="undone")
    (begun,) = ledger.begin([(USUAL, accepted.request)], fence="f")
    assert begun.verdict is Verdict.BEGUN
    assert begun.record.is_test
    assert begun.wait == timedelta()
    sent.travel(seconds=30)  # its slot has passed

    (again,) = ledger.begin([(USUAL, accepted.request)], fence="f")

    assert again.verdict is Verdict.LATER
    assert ledger.run("hget", ledger.keys.record(USUAL), "codes") == codes


def test_it_can_be_removed_and_plivo_is_asked_nothing(sent, monkeypatch):
    initiate_verification.delay(NUMBER)
    enter(CODE)
    ledger = runtime.ledger()
    monkeypatch.setattr(removal, "ask_at_slot", None)

    handle = order_removal(ledger, NUMBER)

    assert removal.remove(handle) == {"at_plivo": False, "here": True}
    assert ledger.read(NUMBER) is None


def test_status_and_the_doctor_say_that_it_is_one(sent, monkeypatch):
    initiate_verification.delay(NUMBER)

    shown = CliRunner().invoke(cli.main, ["status", NUMBER]).output
    assert "test number  its code is the fixed one, and Plivo was not asked" in shown
    assert json.loads(CliRunner().invoke(cli.main, ["status", NUMBER, "--json"]).output)["is_test"]
    assert "3 test numbers are verified by fixed codes, without Plivo" in " ".join(
        CliRunner().invoke(cli.main, ["doctor"]).output.split()
    )


def test_a_change_of_them_is_logged_without_a_number(sent):
    ledger = runtime.ledger()
    ledger.publish_policy(runtime.settings().policy)

    assert policy.changes(ledger, Policy(test_numbers=(USUAL,), rate=runtime.settings().rate)) == (
        policy.changes(ledger, Policy(test_numbers=(NUMBER,), rate=runtime.settings().rate))
    )
    assert "test_numbers from 3 to 1" in policy.changes(ledger, Policy(test_numbers=(USUAL,)))
    published = ledger.run("hget", ledger.keys.policy, "test_numbers").split(",")
    assert USUAL in published
    assert REAL not in published


class TestTheSetting:
    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("4155550166=1234", "number 1 is not a valid number in E.164"),
            ("+1500=1234", "number 1 is not a valid number in E.164"),
            ("+1 415 555 0166=1234", "number 1 is not a valid number in E.164"),
            (f"{USUAL}=1234,", "number 2 is not a valid number in E.164"),
            (f"{USUAL}=12a4", "the code of number 1 is not 4 to 8 digits"),
            (f"{USUAL}=123", "the code of number 1 is not 4 to 8 digits"),
            (USUAL, "the code of number 1 is not 4 to 8 digits"),
            (f"{USUAL}=1234,{ANOTHER}=４２４２", "the code of number 2 is not 4 to 8 digits"),
            (f"{USUAL}=1234,{USUAL}=4321", "number 2 is there twice"),
        ],
    )
    def test_that_is_wrong_is_an_error_without_its_numbers_and_codes(self, text, problem):
        with pytest.raises(Misconfigured) as caught:
            Settings.read({"RINGPROOF_TEST_NUMBERS": text})

        assert caught.value.message.startswith(f"RINGPROOF_TEST_NUMBERS: {problem}; write numbers in E.164")
        assert text not in str(caught.value)

    def test_shows_no_code(self):
        settings = Settings.read({"RINGPROOF_TEST_NUMBERS": f"{USUAL}={CODE}"})

        assert settings.test_numbers.code_of(USUAL).get_secret_value() == CODE
        assert settings.test_numbers.code_of(REAL) is None
        assert not any(one in f"{settings} {settings.test_numbers!r}" for one in (USUAL, CODE))
        assert CODE not in str(settings.policy)

    @pytest.mark.parametrize("base_url", [None, "https://api.plivo.com/v1", "https://plivo.example.com/v1"])
    def test_is_refused_beside_a_live_account_unless_that_is_allowed(self, base_url):
        environ = {
            "RINGPROOF_TEST_NUMBERS": f"{USUAL}={CODE}",
            "PLIVO_AUTH_ID": "MAXXXXXXXXXXXXXXXXXX",
            "PLIVO_AUTH_TOKEN": "token",
        } | ({"PLIVO_BASE_URL": base_url} if base_url else {})
        with pytest.raises(Misconfigured, match=r"RINGPROOF_TEST_NUMBERS: the account is live.*NUMBERS_LIVE=yes"):
            Settings.read(environ, worker=True)

        assert Settings.read(environ).test_numbers.numbers == (USUAL,), "a web app sends nothing"
        assert Settings.read(environ | {"RINGPROOF_TEST_NUMBERS_LIVE": "yes"}, worker=True).test_numbers_live
        local = environ | {"PLIVO_BASE_URL": "http://127.0.0.1:8077/v1"}
        assert Settings.read(local, worker=True).test_numbers.numbers == (USUAL,)
