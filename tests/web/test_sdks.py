"""Plivo's own clients at the front door: one code where Plivo itself would have been asked for up to six."""

import json
import subprocess

import pytest
from plivo.exceptions import (
    AuthenticationError,
    InvalidRequestError,
    PlivoServerError,
    ResourceNotFoundError,
    ValidationError,
)
from support import node_sdk
from support.front_door import python_sdk
from support.harness import AUTH_ID, AUTH_TOKEN, fresh_number

from ringproof.ledger import control
from ringproof.ledger.credentials import issue, revoke

STUMBLES = {
    "500 three times": [{"kind": "500_after", "times": 3}],
    "503 of a balancer three times": [{"kind": "503_bare_after", "times": 3}],
    "504 three times": [{"kind": "504_after", "times": 3}],
    "reset twice": [{"kind": "reset_after", "times": 2}],
    "500 before it is done": [{"kind": "500_before"}],
    "an empty success": [{"kind": "empty"}],
}


@pytest.fixture
def number(ledger, plivo):
    control.resume(ledger)
    plivo.initiate(fresh_number())  # a code that was taken ends a row of failures, which would pause the sending
    return fresh_number()


@pytest.fixture
def python(door):
    with python_sdk(f"{door.url}/v1", door.auth_id, door.token) as client:
        yield client.verify_callerids


def node(door, operation, *given):
    return node_sdk.call(door.url, door.auth_id, door.token, operation, *given)


def code_of(plivo, number):
    return plivo.sends(number)[-1]["code"]


class TestPython:
    def test_runs_the_whole_conversation(self, python, plivo, number):
        initiated = python.initiate_verify(number, alias="Main Office", channel="call")
        completed = python.verify_caller_id(initiated.verification_uuid, otp=code_of(plivo, number))
        got = python.get_verified_caller_id(number)
        listed = python.list_verified_caller_id(limit=5, country="US", alias="Main Office")
        updated = python.update_verified_caller_id(number, alias="Branch")
        python.delete_verified_caller_id(number)
        with pytest.raises(ResourceNotFoundError):
            python.get_verified_caller_id(number)

        assert completed.phone_number == got.phone_number == number
        assert [one.phone_number for one in listed.objects] == [number]
        assert (got.alias, updated.alias) == ("Main Office", "Branch")
        assert [send["channel"] for send in plivo.sends(number)] == ["call"]

    @pytest.mark.parametrize("stumble", STUMBLES)
    def test_sends_one_code_where_it_would_send_three(self, python, plivo, number, stumble):
        plivo.script(*({**one, "operation": "initiate"} for one in STUMBLES[stumble]))
        with pytest.raises(InvalidRequestError) as refused:
            python.initiate_verify(number)
        with pytest.raises(InvalidRequestError):
            python.initiate_verify(number)

        assert "may have sent a code" in str(refused.value)
        assert len(plivo.sends(number)) == ("before" not in stumble)

    def test_without_the_door_sends_three(self, plivo, number):
        plivo.befall("500_after", times=3, operation="initiate")
        with (
            python_sdk(plivo.base_url, AUTH_ID, AUTH_TOKEN) as bare,
            pytest.raises(PlivoServerError),
        ):
            bare.verify_callerids.initiate_verify(number)

        assert len(plivo.sends(number)) == 3

    def test_takes_a_503_that_asks_to_come_again_at_once_for_an_accepted_request(self, python, plivo, number):
        plivo.befall("503_retry_after", seconds=0, times=6)
        first, second = python.initiate_verify(number), python.initiate_verify(number)

        assert first.verification_uuid == second.verification_uuid
        assert len([one for one in plivo.requests() if one["misfortune"]]) == 1

    def test_takes_what_still_waits_for_a_success(self, python, plivo, ledger, number):
        control.pause(ledger)
        waits = python.initiate_verify(number)
        control.resume(ledger)

        assert waits.verification_uuid
        assert waits.state == "waiting"
        assert not plivo.sends(number)

    def test_shows_each_refusal_with_its_sentence(self, python, number):
        uuid = python.initiate_verify(number).verification_uuid
        refusals = []
        for error, call in [
            (ValidationError, lambda: python.initiate_verify("+1415")),
            (ValidationError, lambda: python.initiate_verify(number, channel="fax")),
            (ValidationError, lambda: python.verify_caller_id(uuid, otp="00000000")),
            (ResourceNotFoundError, lambda: python.verify_caller_id("1", otp="0000")),
            (ResourceNotFoundError, lambda: python.delete_verified_caller_id(fresh_number())),
        ]:
            with pytest.raises(error) as refused:
                call()
            refusals.append(str(refused.value))

        assert "digits" in refusals[0]
        assert "channel" in refusals[1]
        assert "tries left: 4" in refusals[2]
        assert "no such verification" in refusals[3]
        assert "no verified caller ID" in refusals[4]

    def test_is_refused_without_a_credential_that_counts(self, door, ledger):
        issued = issue(ledger, "revoked")
        revoke(ledger, "revoked")
        with python_sdk(f"{door.url}/v1", issued.credential.auth_id, "x") as client, pytest.raises(AuthenticationError):
            client.verify_callerids.list_verified_caller_id()


class TestNode:
    def test_runs_the_whole_conversation(self, door, plivo, number):
        initiated = node(door, "initiate", number, {"alias": "Main Office", "channel": "call"})["answer"]
        completed = node(door, "verify", initiated["verificationUuid"], code_of(plivo, number))["answer"]
        got = node(door, "getVerifiedCallerId", number)["answer"]
        listed = node(door, "listVerifiedCallerId", {"limit": 5, "alias": "Main Office"})["answer"]
        updated = node(door, "updateVerifiedCallerId", number, {"alias": "Branch"})["answer"]
        deleted = node(door, "deleteVerifiedCallerId", number)

        assert completed["phoneNumber"] == got["phoneNumber"] == number
        assert number in json.dumps(listed)
        assert updated["alias"] == "Branch"
        assert "error" not in deleted
        assert node(door, "getVerifiedCallerId", number)["error"]
        assert len(plivo.sends(number)) == 1

    @pytest.mark.parametrize("stumble", ["500 three times", "reset twice"])
    def test_sends_one_code_and_shows_the_sentence(self, door, plivo, number, stumble):
        plivo.script(*({**one, "operation": "initiate"} for one in STUMBLES[stumble]))
        answers = [node(door, "initiate", number) for _ in range(2)]

        assert all("may have sent a code" in answer["error"] for answer in answers)
        assert len(plivo.sends(number)) == 1


class TestCurl:
    SAMPLE = """curl -i --user AUTH_ID:AUTH_TOKEN \\
        -H "Content-Type: application/json" \\
        -d '{"phone_number": "+12025551234", "alias": "Main Office", "channel": "sms"}' \\
        https://api.plivo.com/v1/Account/AUTH_ID/VerifiedCallerId/"""
    """As Plivo's page has it."""

    def run(self, door, sample, number):
        for plivos, ours in [
            ("https://api.plivo.com", door.url),
            ("AUTH_ID", door.auth_id),
            ("AUTH_TOKEN", door.token),
            ("+12025551234", number),
            ("curl ", "curl --noproxy '*' -sS "),
        ]:
            sample = sample.replace(plivos, ours)
        return subprocess.run(["sh", "-c", sample], check=True, capture_output=True, text=True, timeout=30).stdout

    def test_sends_a_code_as_plivos_page_shows_it(self, door, plivo, number):
        shown = self.run(door, self.SAMPLE, number)

        assert shown.startswith("HTTP/1.1 201 ")
        assert "verification_uuid" in shown
        assert plivo.sends(number)[0]["alias"] == "Main Office"

    def test_is_asked_to_go_on_with_a_body_that_it_holds_back(self, door, plivo, number):
        shown = self.run(door, self.SAMPLE.replace("-H", '-H "Expect: 100-continue" -H', 1), number)

        assert shown.startswith("HTTP/1.1 100 Continue")
        assert "HTTP/1.1 201 " in shown
        assert len(plivo.sends(number)) == 1
