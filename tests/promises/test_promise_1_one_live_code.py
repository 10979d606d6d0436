"""Never two live codes for one number, unless a person asks for a resend after the cooldown.

Plivo has no idempotency key: whoever asks it twice texts a person twice.
"""

import pytest
from support.harness import eventually, fresh_number

from ringproof.errors import CoolingDown, InDoubt
from ringproof.policy import Policy
from tasks import confirm_verification, initiate_verification


def test_a_number_gets_a_code(plivo, worker):
    number = fresh_number()

    verification = initiate_verification.delay(number, alias="Front desk")
    result = verification.get(timeout=30)

    assert result["state"] == "code_sent"
    assert [message["code"] for message in plivo.sends(number)], "the phone has it"


def test_asking_again_while_the_code_lives_sends_nothing_and_gives_the_same_result(plivo, worker):
    number = fresh_number()
    first = initiate_verification.delay(number).get(timeout=30)

    written_otherwise = f"+1 ({number[2:5]}) {number[5:8]}-{number[8:]}"
    second = initiate_verification.delay(written_otherwise).get(timeout=30)

    assert second == first
    assert len(plivo.sends(number)) == 1


def test_a_person_may_ask_for_another_code_but_not_at_once(plivo, worker, ledger):
    number = fresh_number()
    initiate_verification.delay(number).get(timeout=30)

    ledger.publish_policy(Policy(cooldown_ms=60_000, range_codes_per_hour=0))
    with pytest.raises(CoolingDown) as too_early:
        initiate_verification.delay(number, resend=True)

    ledger.publish_policy(Policy(cooldown_ms=1000, range_codes_per_hour=0))  # the minute is not waited for

    def resend_after_the_cooldown():
        try:
            return initiate_verification.delay(number, resend=True)
        except CoolingDown:
            return None

    eventually(resend_after_the_cooldown, within=30).get(timeout=30)

    assert too_early.value.until
    assert len(plivo.sends(number)) == 2


def test_whoever_has_entered_the_code_gets_no_other(plivo, worker):
    number = fresh_number()
    initiate_verification.delay(number).get(timeout=30)
    (send,) = plivo.sends(number)
    confirm_verification.delay(number, send["code"]).get(timeout=30)

    again = initiate_verification.delay(number).get(timeout=30)

    assert again["state"] == "verified"
    assert len(plivo.sends(number)) == 1


def test_an_answer_that_got_lost_is_not_asked_for_again(plivo, worker):
    number = fresh_number()
    plivo.befall("500_after", number=number)  # Plivo sends the code, and then says 500

    with pytest.raises(InDoubt) as doubt:
        initiate_verification.delay(number).get(timeout=30)
    with pytest.raises(InDoubt):
        initiate_verification.delay(number).get(timeout=30)

    assert doubt.value.until, "when the last code that may exist has died"
    assert len(plivo.sends(number)) == 1
