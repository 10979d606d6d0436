"""Complete at the front door: a code is checked once, and each repetition gets the same answer."""

import re
from datetime import datetime

import pytest
from support.front_door import age, at_once, refusal
from support.harness import eventually, fresh_number

from ringproof.ledger import control
from ringproof.ledger.credentials import issue

pytestmark = pytest.mark.usefixtures("plivo")


@pytest.fixture
def number(ledger):
    control.resume(ledger)
    return fresh_number()


@pytest.fixture
def pending(door, plivo, number):
    """A number with a live code: its uuid and the code."""
    answer = door.initiate(number, alias="Front desk", subaccount="SA" + "X" * 18)
    return answer.json()["verification_uuid"], plivo.sends(number)[0]["code"]


def wrong(code):
    return f"{(int(code) + 1) % 10 ** len(code):0{len(code)}d}"


def completions(plivo):
    return [one for one in plivo.requests() if one["kind"] == "complete"]


def test_the_right_code_verifies_the_number_and_the_answer_is_plivos(door, ledger, number, pending):
    uuid, code = pending
    answer = door.complete(uuid, code)
    body = answer.json()

    assert answer.status_code == 200
    assert body.keys() == {
        *("alias", "api_id", "channel", "country", "created_at", "phone_number", "subaccount", "verification_uuid")
    }
    assert (body["verification_uuid"], body["phone_number"], body["country"]) == (uuid, number, "US")
    assert (body["alias"], body["channel"]) == ("Front desk", "sms")
    assert datetime.fromisoformat(body["created_at"]).tzinfo
    assert all(isinstance(value, str) for value in body.values())
    assert ledger.read(number).is_verified


def test_the_same_code_again_gets_the_same_answer_and_plivo_is_asked_once(door, plivo, pending):
    uuid, code = pending
    answers = [*at_once(4, lambda: door.complete(uuid, code)), door.complete(uuid, code)]

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert len(completions(plivo)) == 1


def test_another_code_never_gets_the_answer_of_the_right_one(door, pending):
    uuid, code = pending
    door.complete(uuid, code)

    assert refusal(door.complete(uuid, wrong(code))) == (409, "nothing_pending")
    assert refusal(door.complete(uuid, code[:-1])) in {(409, "nothing_pending"), (400, "invalid_otp")}


def test_a_wrong_code_is_refused_with_the_tries_left_and_again_without_a_further_try(door, ledger, number, pending):
    uuid, code = pending
    answers = [door.complete(uuid, wrong(code)) for _ in range(2)]
    other = door.complete(uuid, wrong(wrong(code)))

    assert [refusal(answer) for answer in (*answers, other)] == [(400, "wrong_code")] * 3
    assert [answer.json()["tries_left"] for answer in (*answers, other)] == [4, 4, 3]
    assert ledger.read(number).tries == 2
    assert door.complete(uuid, code).status_code == 200


def test_a_code_that_is_too_old_and_one_that_was_entered_too_often_are_refused(door, ledger, number, pending):
    uuid, code = pending
    ledger.client.hset(ledger.keys.record(number), "tries", 5)
    too_often = door.complete(uuid, code)
    age(ledger, number, 15 * 60)
    too_old = door.complete(uuid, wrong(code))

    assert (refusal(too_often), too_often.json()["tries_left"]) == ((400, "too_many_tries"), 0)
    assert (refusal(too_old), too_old.json()["tries_left"]) == ((400, "expired"), 0)


def test_a_test_number_is_completed_with_its_fixed_code_and_plivo_is_asked_nothing(door, ledger, plivo, publish):
    number = "+15005550006"
    control.resume(ledger)
    publish(test_numbers=(number,))
    before = len(plivo.requests())
    uuid = door.initiate(number).json()["verification_uuid"]
    refused, right = door.complete(uuid, "654321"), door.complete(uuid, "123456")

    assert (refused.status_code, right.status_code) == (400, 200)
    assert right.json()["phone_number"] == number
    assert ledger.read(number).is_verified
    assert not [one for one in plivo.requests()[before:] if one["kind"] in {"initiate", "complete"}]


@pytest.mark.parametrize("otp", [None, "", 1234, "12", "hello", ["1234"]])
def test_a_text_that_is_no_code_is_refused(door, pending, otp):
    assert refusal(door.complete(pending[0], otp)) == (400, "invalid_otp")


@pytest.mark.parametrize("uuid", ["0" * 8, "11111111-2222-3333-4444-555555555555", "*", "%2a", "request_ids"])
def test_an_unknown_uuid_is_not_found(door, uuid):
    assert refusal(door.complete(uuid, "1234")) == (404, "unknown")


def test_a_uuid_of_plivos_or_of_another_caller_is_not_found(door, plivo, ledger, number, pending):
    other = door.of(issue(ledger, f"other {number[-4:]}"))

    assert refusal(door.complete(plivo.sends(number)[0]["verification_uuid"], pending[1])) == (404, "unknown")
    assert refusal(other.complete(*pending)) == (404, "unknown")


def test_another_caller_gets_a_uuid_of_its_own_and_does_not_learn_the_alias(door, plivo, ledger, number, pending):
    other = door.of(issue(ledger, f"second {number[-4:]}"))
    asked = other.initiate(number)
    completed = other.complete(asked.json()["verification_uuid"], pending[1])

    assert asked.status_code == 200
    assert asked.json()["verification_uuid"] != pending[0]
    assert completed.status_code == 200
    assert completed.json()["alias"] == completed.json()["subaccount"] == ""
    assert len(plivo.sends(number)) == 1


def test_the_code_of_an_earlier_uuid_is_not_entered_for_a_later_one(door, ledger, number, pending):
    age(ledger, number, 60)
    door.initiate(number)

    assert refusal(door.complete(*pending)) == (409, "another_request")


def test_an_answer_that_plivo_lost_is_found_by_a_repetition(door, plivo, pending):
    plivo.befall("500_after", operation="complete")
    uuid, code = pending
    answer = eventually(lambda: [one for one in [door.complete(uuid, code)] if one.status_code != 409])

    assert answer[0].status_code == 200
    assert len(completions(plivo)) == 1


def test_a_check_that_lasts_is_answered_in_time_and_a_repetition_tells_its_outcome(door, plivo, pending):
    plivo.switch(latency_ms=4500)
    uuid, code = pending
    early = door.complete(uuid, code)
    later = eventually(lambda: [one for one in [door.complete(uuid, code)] if one.status_code == 200])

    assert refusal(early) == (409, "unconfirmed")
    assert early.elapsed.total_seconds() < 4
    assert later
    assert len(completions(plivo)) == 1


def test_what_plivo_could_not_be_asked_is_asked_again(door, plivo, pending):
    plivo.befall("503", operation="complete")
    uuid, code = pending
    answers = [door.complete(uuid, code) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [409, 200]
    assert refusal(answers[0]) == (409, "unconfirmed")


def test_no_log_line_of_the_door_has_a_number_or_a_code(door, number, pending):
    door.complete(*pending)

    assert number.removeprefix("+") not in door.log
    assert not re.search(rf"\b{pending[1]}\b", re.sub(r"\d\d:\d\d:\d\d,\d{3}|\d+ ms", "", door.log))
