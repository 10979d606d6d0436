"""A number never has two live codes, unless a person asks for a resend after the cooldown.

Plivo has no idempotency key: a program that asks it twice sends two texts to the same person.
"""

import pytest
from support.harness import eventually, fresh_number

from ringproof import confirm_verification, initiate_verification
from ringproof.errors import CoolingDown, InDoubt


def test_a_number_gets_a_code(plivo, worker):
    number = fresh_number()

    verification = initiate_verification.delay(number, alias="Front desk")
    result = verification.get(timeout=30)

    assert result["state"] == "code_sent"
    assert [message["code"] for message in plivo.sends(number)], "the phone has it"


def test_a_second_request_while_the_code_is_live_sends_nothing_and_has_the_same_id(plivo, worker):
    number = fresh_number()
    first = initiate_verification.delay(number)
    sent = first.get(timeout=30)

    written_otherwise = f"+1 ({number[2:5]}) {number[5:8]}-{number[8:]}"
    second = initiate_verification.delay(written_otherwise)

    assert second.id == first.id
    assert second.get(timeout=30) == sent | {"verification_uuid": None, "api_id": None}, "these are the first one's own"
    assert len(plivo.sends(number)) == 1


def test_a_person_gets_another_code_but_only_after_the_cooldown(plivo, worker, publish):
    number = fresh_number()
    initiate_verification.delay(number).get(timeout=30)

    publish(cooldown_ms=60_000)
    with pytest.raises(CoolingDown) as too_early:
        initiate_verification.delay(number, resend=True)

    publish(cooldown_ms=1000)  # so that the test need not wait a minute

    def resend_after_the_cooldown():
        try:
            return initiate_verification.delay(number, resend=True)
        except CoolingDown:
            return None

    eventually(resend_after_the_cooldown, within=30).get(timeout=30)

    assert too_early.value.until
    assert len(plivo.sends(number)) == 2


def test_a_user_who_has_entered_the_code_gets_no_other(plivo, worker):
    number = fresh_number()
    initiate_verification.delay(number).get(timeout=30)
    (send,) = plivo.sends(number)
    confirm_verification.delay(number, send["code"]).get(timeout=30)

    again = initiate_verification.delay(number).get(timeout=30)

    assert again["state"] == "verified"
    assert len(plivo.sends(number)) == 1


def test_a_lost_answer_of_plivos_leads_to_no_second_code(plivo, worker):
    number = fresh_number()
    plivo.befall("500_after", number=number)  # Plivo sends the code, and then says 500

    with pytest.raises(InDoubt) as doubt:
        initiate_verification.delay(number).get(timeout=30)
    with pytest.raises(InDoubt):
        initiate_verification.delay(number).get(timeout=30)

    assert doubt.value.until, "the end of the last code that may exist"
    assert len(plivo.sends(number)) == 1
