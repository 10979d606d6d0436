"""Verifications over the API: from a number to a verified one, and what each caller learns on the way."""

import pytest
from support.harness import eventually, fresh_number

from ringproof.batches.erasure import erase_number
from ringproof.ledger import control
from ringproof.ledger.credentials import Scope

pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture
def number():
    return fresh_number()


def code_of(plivo, number):
    return plivo.sends(number)[-1]["code"]


def enter(api, verification_id, code):
    return api.post(f"/verifications/{verification_id}/confirm", json={"code": code})


def test_a_number_is_verified(api, plivo, number):
    created = api.post("/verifications", json={"phone_number": number, "alias": "Front desk"})
    place = created.headers["Location"]
    sent = api.get(place, params={"wait": 30}).json()
    confirmed = api.post(f"{place}/confirm", json={"code": code_of(plivo, number)})

    assert created.status_code == 202
    assert number[1:] not in place
    assert (sent["state"], sent["phone_number"], sent["alias"]) == ("code_sent", number, "Front desk")
    assert (confirmed.status_code, confirmed.json()["state"]) == (200, "verified")
    assert api.get(place).json()["state"] == "verified"


def test_a_test_number_is_verified_by_its_fixed_code_and_plivo_is_asked_nothing(api, plivo, publish):
    number = "+15005550007"
    publish(test_numbers=(number,))
    before = len(plivo.requests())
    verification_id = api.ask_for_code(number)
    api.sent(verification_id)
    refused, right = enter(api, verification_id, "1234"), enter(api, verification_id, "4321")

    assert (refused.status_code, refused.json()["type"]) == (422, "/docs#wrongcode")
    assert (right.status_code, right.json()["state"]) == (200, "verified")
    assert not [one for one in plivo.requests()[before:] if one["kind"] in {"initiate", "complete"}]


def test_a_second_request_sends_no_second_code_and_has_the_same_id(api, plivo, number):
    ids = {api.ask_for_code(number) for _ in range(3)}
    api.sent(ids.copy().pop())

    assert len(ids) == 1
    assert len(plivo.sends(number)) == 1


def test_a_resend_has_an_id_of_its_own(api, plivo, number, publish):
    publish(cooldown_ms=0)
    first = api.ask_for_code(number)
    api.sent(first)
    second = api.ask_for_code(number, resend=True)
    api.sent(second)

    assert first != second
    assert len(plivo.sends(number)) == 2


def test_a_request_is_not_verified_by_the_code_of_another_one(api_with, ledger, plivo, number, publish):
    publish(cooldown_ms=0)
    mine, others = api_with(), api_with(program="other")
    earlier = others.ask_for_code(number)
    others.sent(earlier)
    control.pause(ledger)
    try:
        own = mine.ask_for_code(number, resend=True)
        assert enter(others, earlier, code_of(plivo, number)).ok
    finally:
        control.resume(ledger)

    assert mine.get(f"/verifications/{own}").json()["state"] == "cancelled"


def test_a_wrong_code_says_how_many_tries_are_left_and_not_what_was_entered(api, plivo, number):
    verification = api.ask_for_code(number)
    api.sent(verification)
    wrong = enter(api, verification, "00000000")

    assert (wrong.status_code, wrong.json()["reason"], wrong.json()["tries_left"]) == (422, "wrong_code", 4)
    assert wrong.headers["Content-Type"] == "application/problem+json"
    assert "00000000" not in wrong.text


def test_a_request_that_waits_is_taken_back(api, ledger, number):
    control.pause(ledger)
    try:
        verification = api.ask_for_code(number)
        taken_back = api.delete(f"/verifications/{verification}")
    finally:
        control.resume(ledger)

    assert (taken_back.status_code, taken_back.content) == (204, b"")
    assert api.get(f"/verifications/{verification}").json()["state"] == "cancelled"
    assert api.delete(f"/verifications/{verification}").status_code == 204


def test_a_code_that_is_sent_cannot_be_taken_back(api, number):
    verification = api.ask_for_code(number)
    api.sent(verification)
    refused = api.delete(f"/verifications/{verification}")

    assert (refused.status_code, refused.json()["reason"]) == (409, "not_cancellable")


def test_waiting_ends_when_the_time_is_over(api, ledger, number):
    control.pause(ledger)
    try:
        verification = api.ask_for_code(number)
        still = api.get(f"/verifications/{verification}", params={"wait": 1}).json()
    finally:
        control.resume(ledger)

    assert still["state"] in {"queued", "waiting"}


def test_a_failed_request_says_why_and_what_to_do(api, plivo, number):
    plivo.befall("400", number=number)
    failed = api.sent(api.ask_for_code(number))

    assert (failed["state"], failed["reason"], failed["explanation"]["reason"]) == ("failed", "rejected", "rejected")
    assert failed["explanation"]["remedy"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"phone_number": "555-0199"}, "no_country"),
        ({"phone_number": "+14155550123", "region": "ZZ9"}, "invalid_request"),
        ({"phone_number": "+14155550123", "alias": "a\nb"}, "invalid_request"),
        ({"phone_number": 14155550123}, "invalid_request"),
        ({"phone_number": "+14155550123", "resend": "yes"}, "invalid_request"),
        ({"phone_number": "+14155550123", "colour": "red"}, "invalid_request"),
        ({}, "invalid_request"),
        ([], "invalid_request"),
    ],
)
def test_a_wrong_field_is_refused_and_its_digits_are_not_shown(api, body, reason):
    refused = api.post("/verifications", json=body)

    assert (refused.status_code, refused.json()["reason"]) == (422, reason)
    assert "555" not in refused.text


class TestWhatACallerLearns:
    """A credential with the scope `verify` alone knows its own requests, and nothing of others'."""

    @pytest.fixture
    def verifier(self, api_with):
        return api_with(Scope.VERIFY)

    @pytest.fixture
    def verified_before(self, api_with, plivo, number):
        """A number that another program has verified."""
        other = api_with(program="other")
        verification = other.ask_for_code(number)
        other.sent(verification)
        assert enter(other, verification, code_of(plivo, number)).ok
        return verification

    def test_another_program_s_verified_number_looks_like_any_other(self, verifier, verified_before, number):
        known = verifier.post("/verifications", json={"phone_number": number})
        unknown = verifier.post("/verifications", json={"phone_number": fresh_number()})

        assert [known.status_code, sorted(known.json())] == [unknown.status_code, sorted(unknown.json())]
        assert known.json()["id"] != verified_before
        shown = verifier.get(known.headers["Location"], params={"wait": 30}).json()
        assert {name: value for name, value in shown.items() if value is not None} == {
            "id": known.json()["id"],
            "state": "pending",
        }

    @pytest.mark.usefixtures("verified_before")
    def test_a_code_does_not_show_that_another_program_has_verified_a_number(self, verifier, number):
        refused = enter(verifier, verifier.ask_for_code(number), "1234").json()

        assert refused["reason"] == "nothing_pending"
        assert refused.get("remedy") != refused["detail"]
        assert "verified" not in refused["detail"]

    @pytest.mark.usefixtures("verified_before")
    def test_with_the_scope_read_it_learns_the_state_and_not_what_is_another_s(self, api_with, number):
        reader = api_with(Scope.VERIFY, Scope.READ)
        shown = reader.get(f"/verifications/{reader.ask_for_code(number)}").json()

        assert (shown["state"], shown["alias"], shown["verification_uuid"]) == ("verified", None, None)

    def test_an_id_is_worth_nothing_to_another_program(self, verifier, verified_before):
        answers = [
            verifier.get(f"/verifications/{verified_before}"),
            enter(verifier, verified_before, "1234"),
            verifier.delete(f"/verifications/{verified_before}"),
        ]

        assert [answer.status_code for answer in answers] == [404, 404, 404]

    def test_one_requester_learns_nothing_of_another_ones_request(self, verifier, number):
        first = verifier.ask_for_code(number, requester="user 17")
        second = verifier.ask_for_code(number, requester="user 18")

        assert verifier.sent(first)["state"] == "code_sent"
        assert verifier.sent(second)["state"] == "pending"

    def test_one_requester_does_not_take_back_another_ones_request(self, verifier, ledger, number):
        control.pause(ledger)
        try:
            first = verifier.ask_for_code(number, requester="user 17")
            second = verifier.ask_for_code(number, requester="user 18")
            refused = verifier.delete(f"/verifications/{second}")
        finally:
            control.resume(ledger)

        assert refused.status_code == 409
        assert verifier.get(f"/verifications/{first}").json()["state"] in {"queued", "waiting"}

    @pytest.mark.usefixtures("verified_before")
    def test_a_lookup_needs_the_scope_read(self, api_with, verifier, number):
        refused = verifier.post("/numbers/lookup", json={"phone_number": number})
        found = api_with(Scope.READ).post("/numbers/lookup", json={"phone_number": number}).json()

        assert (refused.status_code, refused.json()["reason"]) == (403, "missing_scope")
        assert (found["is_verified"], found["phone_number"]) == (True, number)


def test_an_unknown_number_is_not_verified(api):
    number = fresh_number()

    assert api.post("/numbers/lookup", json={"phone_number": number}).json()["is_verified"] is False


def test_an_erased_number_takes_its_ids_along(api, ledger, number):
    verification = api.ask_for_code(number)
    api.sent(verification)
    erase_number(ledger, number)

    assert api.get(f"/verifications/{verification}").status_code == 404


def test_no_log_line_has_a_number_a_code_or_a_token(api, plivo, number, door):
    verification = api.ask_for_code(number)
    api.sent(verification)
    enter(api, verification, code_of(plivo, number))
    token = api.headers["Authorization"].removeprefix("Bearer ")

    assert eventually(lambda: "front door is at" in door.log)
    assert not [secret for secret in (number[-7:], token) if secret in door.log]
