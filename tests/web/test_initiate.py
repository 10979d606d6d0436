"""Initiate at the front door: one code, one uuid, and an answer that each client of Plivo's shows."""

import json
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.front_door import FrontDoor, age, at_once, refusal
from support.harness import eventually, fresh_number, stopped

from ringproof import runtime
from ringproof.ledger import control
from ringproof.ledger.credentials import Scope, issue

pytestmark = pytest.mark.usefixtures("plivo")
PEOPLE = 6


@pytest.fixture
def number(ledger):
    """A number of its own; what an earlier test's misfortunes have paused goes on."""
    control.resume(ledger)
    return fresh_number()


def test_a_code_is_sent_and_the_answer_is_plivos_with_a_uuid_of_the_doors_own(door, plivo, number):
    answer = door.initiate(number, alias="Front desk", channel="Call")
    (sent,) = plivo.sends(number)

    assert answer.status_code == 201
    assert answer.json().keys() == {"api_id", "message", "verification_uuid"}
    assert uuid.UUID(answer.json()["verification_uuid"]).version == 8
    assert answer.json()["verification_uuid"] != sent["verification_uuid"]
    assert (sent["channel"], sent["alias"]) == ("call", "Front desk")


@pytest.mark.parametrize("latency_ms", [0, 400])
def test_six_requests_at_once_have_one_code_and_one_uuid(door, plivo, number, latency_ms):
    plivo.switch(latency_ms=latency_ms)
    answers = at_once(PEOPLE, lambda: door.initiate(number))

    assert {answer.status_code for answer in answers} <= {200, 201}
    assert len({answer.json()["verification_uuid"] for answer in answers}) == 1
    assert len(plivo.sends(number)) == 1


def test_a_repetition_has_the_same_uuid_and_a_sentence_that_no_other_code_was_sent(door, plivo, number):
    first, second = door.initiate(number), door.initiate(number)

    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["verification_uuid"] == second.json()["verification_uuid"]
    assert "no other one was sent" in second.json()["message"]
    assert len(plivo.sends(number)) == 1


def test_a_second_request_after_the_cooldown_is_a_resend_and_six_of_them_are_one(door, plivo, ledger, number):
    first = door.initiate(number)
    age(ledger, number, 60)
    answers = at_once(PEOPLE, lambda: door.initiate(number))
    uuids = {answer.json()["verification_uuid"] for answer in answers}

    assert {answer.status_code for answer in answers} <= {200, 201}
    assert len(uuids) == 1
    assert uuids != {first.json()["verification_uuid"]}
    assert len(plivo.sends(number)) == 2


def test_a_repetition_within_seconds_is_no_resend_even_without_a_cooldown(door, plivo, publish, number):
    publish(cooldown_ms=0)
    first, second = door.initiate(number), door.initiate(number)

    assert first.json()["verification_uuid"] == second.json()["verification_uuid"]
    assert len(plivo.sends(number)) == 1


def test_a_client_that_deletes_the_number_first_asks_for_another_code(door, plivo, ledger, number):
    first = door.initiate(number)
    deleted = [door.ask("DELETE", f"/{number}").status_code for _ in range(2)]
    too_early = door.initiate(number)
    age(ledger, number, 2)
    second, third = door.initiate(number), door.initiate(number)

    assert deleted == [204, 204]
    assert refusal(too_early) == (409, "cooling_down")
    assert second.status_code == 201
    assert second.json()["verification_uuid"] != first.json()["verification_uuid"]
    assert third.json()["verification_uuid"] == second.json()["verification_uuid"]
    assert len(plivo.sends(number)) == 2


def test_a_door_may_resend_only_after_a_deletion(environ, worker, plivo, ledger, tmp_path, number):
    issued = issue(ledger, "never")
    environ = environ | {"RINGPROOF_DOOR_RESEND": "never"}
    with stopped(FrontDoor(tmp_path / "door.log", environ, tmp_path, issued)) as door:
        first = door.initiate(number)
        age(ledger, number, 60)
        second = door.initiate(number)
        door.ask("DELETE", f"/{number}")
        third = door.initiate(number)

    assert [answer.status_code for answer in (first, second, third)] == [201, 200, 201]
    assert first.json()["verification_uuid"] == second.json()["verification_uuid"]
    assert len(plivo.sends(number)) == 2


def test_what_is_still_being_sent_is_accepted_with_the_uuid_that_completes_it_later(door, plivo, ledger, number):
    plivo.switch(latency_ms=4500)
    accepted = door.initiate(number)
    plivo.switch(latency_ms=0)
    eventually(lambda: ledger.read(number).code_sent_at)
    completed = door.complete(accepted.json()["verification_uuid"], plivo.sends(number)[0]["code"])

    assert accepted.status_code == 202
    assert accepted.elapsed.total_seconds() < 4
    assert accepted.json()["state"] == "sending"
    assert completed.status_code == 200


def test_what_waits_is_accepted_with_the_reason_and_again_with_the_same_uuid(door, plivo, ledger, number):
    control.pause(ledger)
    first, second = at_once(2, lambda: door.initiate(number))
    control.resume(ledger)

    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["verification_uuid"] == second.json()["verification_uuid"]
    assert (first.json()["state"], first.json()["reason"]) == ("waiting", "paused")
    assert not plivo.sends(number)


@pytest.mark.parametrize("kind", ["500_after", "503_bare_after", "reset_after", "without_uuid"])
def test_a_doubt_is_a_409_and_a_repetition_sends_no_second_code(door, plivo, number, kind):
    plivo.befall(kind)
    answers = [door.initiate(number) for _ in range(2)]

    assert [refusal(answer) for answer in answers] == [(409, "in_doubt")] * 2
    assert int(answers[0].headers["Retry-After"]) > 600
    assert len(plivo.sends(number)) == 1


def test_a_deletion_ends_the_waiting_for_a_doubt_once(door, plivo, ledger, number):
    door.initiate(fresh_number())  # five doubts in a row, over all tests, would pause the sending
    plivo.befall("500_after", times=2)
    door.initiate(number)
    door.ask("DELETE", f"/{number}")
    age(ledger, number, 120)
    answers = [door.initiate(number) for _ in range(2)]

    assert [refusal(answer) for answer in answers] == [(409, "in_doubt")] * 2
    assert len(plivo.sends(number)) == 2


def test_plivos_refusal_of_a_number_is_the_numbers(door, plivo, number):
    plivo.befall("400")

    assert refusal(door.initiate(number)) == (400, "rejected")


def test_a_destination_that_plivo_forbids_is_a_409(door, plivo):
    plivo.switch(refused=["+55"])

    assert refusal(door.initiate("+5511987654321")) == (409, "forbidden")


def test_a_cap_is_a_409_with_its_end(door, publish, plivo, ledger, number):
    publish(max_codes_per_day=1)
    door.initiate(number)
    age(ledger, number, 60)
    answer = door.initiate(number)

    assert refusal(answer) == (409, "codes_per_day")
    assert int(answer.headers["Retry-After"]) > 3600
    assert len(plivo.sends(number)) == 1


def test_a_verified_number_gets_no_code_before_it_is_deleted(door, plivo, number):
    door.complete(door.initiate(number).json()["verification_uuid"], plivo.sends(number)[0]["code"])
    refused = door.initiate(number)
    deleted = door.ask("DELETE", f"/{number.removeprefix('+')}/")
    again = door.initiate(number)

    assert refusal(refused) == (409, "verified")
    assert (deleted.status_code, deleted.headers["Content-Type"]) == (204, "application/json")
    assert again.status_code == 201
    assert len(plivo.sends(number)) == 2


@pytest.fixture
def blind(door, ledger, number):
    """A caller who may have numbers verified, and may not learn about those of others."""
    return door.of(issue(runtime.ledger(), f"blind {number[-4:]}", [Scope.VERIFY]))


def test_a_caller_who_may_not_read_does_not_learn_that_a_number_is_verified(door, plivo, blind, number):
    door.complete(door.initiate(number).json()["verification_uuid"], plivo.sends(number)[0]["code"])
    answer = blind.initiate(number)

    assert refusal(answer) == (409, "no_code")
    assert "verified" not in answer.text


def test_a_caller_who_may_not_read_does_not_learn_that_another_has_asked_for_a_code(door, plivo, blind, number):
    unknown = fresh_number()
    door.initiate(number)
    answers = [blind.initiate(number), blind.initiate(unknown)]
    texts = [answer.json()["message"].replace(unknown, number) for answer in answers]
    completed = blind.complete(answers[0].json()["verification_uuid"], plivo.sends(number)[0]["code"])

    assert [answer.status_code for answer in answers] == [201, 201]
    assert texts[0] == texts[1]
    assert len(plivo.sends(number)) == 1
    assert completed.status_code == 200


def test_a_caller_who_may_not_read_learns_what_became_of_its_own_request(plivo, blind, number):
    answers = [blind.initiate(number) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [201, 200]


def test_a_caller_who_may_not_read_does_not_learn_of_anothers_doubt_or_caps(door, publish, plivo, blind, ledger):
    doubtful, capped = fresh_number(), fresh_number()
    plivo.befall("500_after")
    door.initiate(doubtful)
    door.initiate(capped)
    publish(max_codes_per_day=1)
    age(ledger, capped, 1000)
    answers = [blind.initiate(number) for number in (doubtful, capped)]

    assert [refusal(answer) for answer in answers] == [(409, "no_code")] * 2
    assert answers[0].json()["error"] == answers[1].json()["error"]
    assert all("Retry-After" not in answer.headers for answer in answers)


def test_a_damaged_record_is_a_409_that_does_not_ask_to_come_again(door, ledger, number):
    ledger.client.set(ledger.keys.record(number), "junk")
    answer = door.initiate(number)
    ledger.client.delete(ledger.keys.record(number))

    assert refusal(answer) == (409, "ledger_damaged")
    assert "Retry-After" not in answer.headers


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"phone_number": "hello"}, "not_a_number"),
        ({"phone_number": ""}, "not_a_number"),
        ({"phone_number": None}, "not_a_number"),
        ({"phone_number": 14155550123}, "not_text"),
        ({"phone_number": "+1415"}, "impossible"),
        ({"phone_number": "+19005550123"}, "premium"),
        ({"channel": "fax"}, "invalid_channel"),
        ({"alias": "a\nb"}, "invalid_alias"),
        ({"alias": ["a"]}, "invalid_request"),
        ({"subaccount": "MA12"}, "invalid_subaccount"),
    ],
)
def test_a_wrong_field_is_refused_with_its_reason(door, plivo, number, fields, reason):
    answer = door.initiate(**{"phone_number": number} | fields)

    assert refusal(answer) == (400, reason)
    assert not plivo.sends(number)


def test_the_other_forms_of_the_body_are_taken(door, plivo):
    numbers = [fresh_number() for _ in range(5)]
    left_out = {"alias": None, "channel": "", "subaccount": 0, "country": 0, "auth_token": "t", "id": None}
    bodies = [
        ({"phone_number": numbers[0].removeprefix("+"), **left_out}, "text/plain"),
        ({"phone_number": numbers[1], "channel": "SMS"}, "application/json; charset=utf-8"),
        ({"phone_number": numbers[2], "sub_account": "SA" + "X" * 18}, "application/x-www-form-urlencoded"),
        ({"phone_number": numbers[3], "alias": "Zoë"}, None),
        ({"phone_number": numbers[4]}, "application/json"),
    ]
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda one: door.ask("POST", "", one[0], headers={"Content-Type": one[1]}), bodies))

    assert [answer.status_code for answer in answers] == [201] * 5
    assert plivo.sends(numbers[2])[0]["subaccount"] == "SA" + "X" * 18


@pytest.mark.parametrize(
    ("written_in", "declared"),
    [("utf-8", "utf-8"), ("utf-8", "ISO-8859-1"), ("latin-1", "ISO-8859-1"), ("cp1252", '"windows-1252"')],
)
def test_a_body_is_read_in_the_charset_that_it_has(door, plivo, number, written_in, declared):
    body = json.dumps({"phone_number": number, "alias": "Zoë"}, ensure_ascii=False).encode(written_in)
    answer = door.ask("POST", "/", data=body, headers={"Content-Type": f"application/json; charset={declared}"})

    assert answer.status_code == 201
    assert plivo.sends(number)[0]["alias"] == "Zoë"


@pytest.mark.parametrize("declared", ["utf-8", "punycode", "zip", ""])
def test_a_body_in_no_charset_that_json_may_have_is_refused(door, plivo, number, declared):
    body = json.dumps({"phone_number": number, "alias": "Zoë"}, ensure_ascii=False).encode("latin-1")
    answer = door.ask("POST", "/", data=body, headers={"Content-Type": f"application/json; charset={declared}"})

    assert refusal(answer) == (400, "invalid_request")
    assert not plivo.sends(number)
