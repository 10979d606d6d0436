"""The fixtures `ringproof` and `phones`, as the tests of an application use them: each test begins with nothing."""

import asyncio
import contextlib
import os
import time
from datetime import timedelta
from typing import get_args

import pytest
import standardwebhooks
from support.harness import eventually
from support.receivers import new_secret

from ringproof import check_number, confirm_verification, initiate_verification, is_verified, runtime, signals
from ringproof.batches.importing import import_roster
from ringproof.errors import (
    Capped,
    CoolingDown,
    Forbidden,
    InDoubt,
    InvalidNumber,
    InvalidRequest,
    Misconfigured,
    Superseded,
    WrongCode,
)
from ringproof.ledger.record import State
from ringproof.rosters.roster import open_roster
from ringproof.settings import Settings
from ringproof.testing.environment import LIMITS
from ringproof.testing.errors import NoCode
from ringproof.testing.ringproof import Misfortune, Operation
from worker.local.sandbox.misfortunes import OPERATIONS, MisfortuneKind

NUMBER = "+14155550123"
"""Every test has the same number, as the tests of most applications do."""

ENDED = []
"""When a test has ended."""

VALUES = ("1", "7", "11", "9/9s", "US", "20:00-09:00", "send")
"""Some of them are allowed for each setting, and not its default."""


def test_a_person_gets_a_code_and_enters_it(ringproof, phones):
    verification = initiate_verification.delay(NUMBER)

    assert phones.enter(NUMBER, request=verification.id)["state"] == "verified"
    assert is_verified(NUMBER)


@pytest.mark.parametrize("nth", range(3))
def test_each_test_begins_with_nothing(ringproof, phones, nth):
    assert phones.inbox(NUMBER) == []
    assert not is_verified(NUMBER)

    initiate_verification.delay(NUMBER)

    assert [message.is_live for message in phones.inbox(NUMBER)] == [True]


def test_what_an_earlier_test_has_left_behind_does_not_come_later(ringproof, phones):
    """The test before this one ended while its worker was about to send."""
    initiate_verification.delay("+14155550124")
    ringproof.misfortune("timeout_after", times=3, seconds=30)
    initiate_verification.delay("+14155550125")
    eventually(lambda: runtime.ledger().read("+14155550125").state is State.SENDING)
    ENDED.append(time.monotonic())


def test_the_next_test_waits_for_none_of_it(ringproof, phones):
    assert [phones.inbox(f"+1415555012{nth}") for nth in range(6)] == [[]] * 6
    assert time.monotonic() - ENDED.pop() < 8  # Plivo's answer is waited for ten seconds


def test_a_wrong_code_is_refused(ringproof, phones):
    initiate_verification.delay(NUMBER)

    with pytest.raises(WrongCode):
        phones.enter(NUMBER, phones.wrong_code(NUMBER))


def test_a_phone_without_a_code_says_what_became_of_its_number(ringproof, phones):
    with pytest.raises(NoCode, match="has got no code; its number is unknown"):
        phones.last_code(NUMBER)
    ringproof.misfortune("503")
    initiate_verification.delay(NUMBER)

    with pytest.raises(NoCode, match=r"its number is waiting \(unreachable\)") as caught:
        phones.enter(NUMBER)

    assert NUMBER not in str(caught.value)


def test_a_code_expires_on_the_way(ringproof, phones):
    verification = initiate_verification.delay(NUMBER)
    verification.get(timeout=10)

    ringproof.travel(minutes=14)
    assert (verification.get(timeout=10)["state"], phones.inbox(NUMBER)[0].is_live) == ("code_sent", True)
    ringproof.travel(minutes=2)

    assert (verification.get(timeout=10)["state"], phones.inbox(NUMBER)[0].is_live) == ("expired", False)


def test_what_is_due_on_the_way_happens_at_its_time(ringproof, phones):
    """Plivo was down for a moment: the number is sent to again after half a minute, and not once it is too late."""
    ringproof.misfortune("503")
    verification = initiate_verification.delay(NUMBER)
    assert phones.inbox(NUMBER) == []

    ringproof.travel(minutes=2)

    assert verification.get(timeout=10)["state"] == "code_sent"
    code_sent_at = runtime.ledger().read(NUMBER).code_sent_at
    assert timedelta(seconds=60) < runtime.ledger().now() - code_sent_at < timedelta(seconds=110)


def test_a_cooldown_and_a_cap_end_with_the_time(ringproof, phones):
    initiate_verification.delay(NUMBER).get(timeout=10)
    with pytest.raises(CoolingDown):
        initiate_verification.delay(NUMBER, resend=True)

    for _ in range(4):
        ringproof.travel(minutes=16)
        initiate_verification.delay(NUMBER).get(timeout=10)
    ringproof.travel(minutes=16)
    with pytest.raises(Capped):
        initiate_verification.delay(NUMBER)
    ringproof.travel(days=1)

    initiate_verification.delay(NUMBER).get(timeout=10)


def test_each_test_has_the_right_time(ringproof):
    """Redis' clock and this machine's are one; earlier tests have travelled."""
    verification = initiate_verification.delay(NUMBER)
    verification.get(timeout=10)

    assert abs(runtime.ledger().read(NUMBER).code_sent_at.timestamp() - time.time()) < 30


def test_a_lost_answer_leaves_a_doubt_at_once(ringproof):
    ringproof.misfortune("timeout_after")
    began = time.monotonic()

    with pytest.raises(InDoubt):
        initiate_verification.delay(NUMBER).get(timeout=10)

    assert time.monotonic() - began < 8  # Plivo's answer is waited for ten seconds


def test_a_refused_country_is_refused(ringproof):
    ringproof.misfortune("403", number=NUMBER)

    with pytest.raises(Forbidden):
        initiate_verification.delay(NUMBER).get(timeout=10)


def test_a_misfortune_that_there_is_not_is_named(ringproof):
    with pytest.raises(InvalidRequest, match="one of 400, 401"):
        ringproof.misfortune("bad luck")
    with pytest.raises(InvalidRequest, match="time goes ahead only"):
        ringproof.travel(minutes=-1)


def test_plivo_that_refuses_connections_does_so_for_this_test_alone(ringproof):
    ringproof.misfortune("refused", seconds=600)


def test_the_next_test_has_plivo_again(ringproof, phones):
    initiate_verification.delay(NUMBER)

    assert len(phones.inbox(NUMBER)) == 1


def test_a_roster_is_sent_as_a_whole(ringproof, phones, tmp_path):
    roster = tmp_path / "people.csv"
    roster.write_text("phone\n" + "".join(f"+141555501{nth:02}\n" for nth in range(30, 50)))

    with open_roster(roster) as opened:
        import_roster(opened, "people")

    assert all(len(phones.inbox(f"+141555501{nth:02}")) == 1 for nth in range(30, 50))


def test_a_loop_of_asyncio_goes_on_beside_it(ringproof, phones):
    async def sign_up():
        verification = await asyncio.to_thread(initiate_verification.delay, NUMBER)
        return phones.enter(NUMBER, request=verification.id)

    assert asyncio.run(sign_up())["state"] == "verified"


def test_the_environment_is_that_of_the_installation_for_one_test(request):
    before = {name: os.environ.get(name) for name in Settings.variables()}
    own_ledger = runtime.ledger()

    ringproof = request.getfixturevalue("ringproof")

    assert os.environ["PLIVO_BASE_URL"] == ringproof.sandbox_url.replace("/sandbox", "/v1")
    assert runtime.settings(worker=True).redis_url.get_secret_value() != before["RINGPROOF_REDIS_URL"]
    assert runtime.ledger() is not own_ledger


def test_what_comes_after_has_its_own_environment_again(ledger):
    """The fixture of this suite, and its worker: nothing of the last test is left."""
    assert "PLIVO_BASE_URL" not in os.environ
    assert runtime.settings().redis_url.get_secret_value() == os.environ["RINGPROOF_REDIS_URL"]
    assert eventually(lambda: confirm_verification.app.backend.url) == os.environ["RINGPROOF_REDIS_URL"]


def test_a_limit_is_another_for_one_test(ringproof, phones):
    ringproof.settings(RINGPROOF_COUNTRIES="GB", RINGPROOF_MAX_CODES_PER_DAY="1")

    with pytest.raises(InvalidNumber) as refused:
        initiate_verification.delay(NUMBER)
    with pytest.raises(InvalidNumber):
        check_number(NUMBER)
    initiate_verification.delay("+447400123456").get(timeout=10)
    ringproof.travel(minutes=16)
    with pytest.raises(Capped):
        initiate_verification.delay("+447400123456")

    assert refused.value.reason == "country"


def test_what_redis_forgets_by_itself_is_forgotten_on_the_way(ringproof, phones):
    ringproof.settings(RINGPROOF_RANGE_CODES_PER_HOUR="1")
    first = initiate_verification.delay(NUMBER)
    first.get(timeout=10)
    with pytest.raises(Capped):
        initiate_verification.delay("+14155550124")

    ringproof.travel(hours=2)
    initiate_verification.delay("+14155550124").get(timeout=10)
    ringproof.travel(hours=2)
    initiate_verification.delay(NUMBER).get(timeout=10)
    assert first.get(timeout=10)["state"] == "expired"
    ringproof.travel(hours=25)

    with pytest.raises(Superseded):
        initiate_verification.AsyncResult(first.id).get(timeout=10)


def test_the_next_test_has_the_usual_limits(ringproof, phones):
    initiate_verification.delay(NUMBER).get(timeout=10)


def test_a_setting_that_no_test_can_change_is_named(ringproof):
    with pytest.raises(InvalidRequest, match="PLIVO_BASE_URL"):
        ringproof.settings(PLIVO_BASE_URL="https://api.plivo.com/v1")
    with pytest.raises(Misconfigured, match="RINGPROOF_COUNTRIES"):
        ringproof.settings(RINGPROOF_COUNTRIES="nowhere")


def test_all_limits_can_be_changed():
    """Those that the workers publish."""
    usual = Settings.read({}).policy

    def changes_policy(name):
        for value in VALUES:
            with contextlib.suppress(Misconfigured):
                if Settings.read({name: value}).policy != usual:
                    return True
        return False

    assert {name for name in Settings.variables() if changes_policy(name)} == LIMITS


def test_a_refused_token_stops_this_test_alone_and_plivo_is_asked_again(ringproof, phones):
    ringproof.misfortune("401")
    initiate_verification.delay(NUMBER)
    assert phones.inbox(NUMBER) == []

    ringproof.travel(minutes=2)

    assert len(phones.inbox(NUMBER)) == 1


def test_the_kinds_of_misfortune_are_the_sandbox_s():
    assert set(get_args(Misfortune)) == set(MisfortuneKind)
    assert get_args(Operation) == OPERATIONS


def test_the_handlers_of_the_program_are_called_in_its_own_process(ringproof, phones):
    seen = []

    def remember(event, **_):
        seen.append((str(event.kind), event.phone_number, os.getpid()))

    signals.verified.connect(remember)
    signals.expired.connect(remember)
    try:
        initiate_verification.delay(NUMBER)
        initiate_verification.delay("+14155550124")
        phones.enter(NUMBER)
        assert seen == [("verified", NUMBER, os.getpid())]

        ringproof.travel(minutes=16)

        assert seen[1:] == [("expired", "+14155550124", os.getpid())]
    finally:
        signals.verified.disconnect(remember)
        signals.expired.disconnect(remember)


def test_what_a_handler_raises_is_seen_by_the_test(ringproof, phones):
    def stumble(event, **_):
        raise LookupError("no such customer")

    signals.code_sent.connect(stumble)
    try:
        initiate_verification.delay(NUMBER)
        with pytest.raises(LookupError, match="no such customer"):
            ringproof.settle()
    finally:
        signals.code_sent.disconnect(stumble)


def test_a_program_gets_its_webhooks_from_the_test(ringproof, phones):
    secret = new_secret()
    initiate_verification.delay(NUMBER)
    phones.enter(NUMBER)

    webhooks = ringproof.webhooks(secret)

    events = [standardwebhooks.Webhook(secret).verify(one.body, one.headers) for one in webhooks]
    assert [event["type"] for event in events] == ["verification.code_sent", "verification.verified"]
    assert {event["data"]["phone_number"] for event in events} == {NUMBER}
    assert NUMBER not in repr(webhooks)
    assert ringproof.webhooks(secret) == []
    with pytest.raises(InvalidRequest, match="secret"):
        ringproof.webhooks("a secret")
