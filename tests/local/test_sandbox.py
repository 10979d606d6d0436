"""The sandbox answers as Plivo does, and its own ledger has exactly the codes that it sent."""

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import plivo
import pytest
import requests
from plivo.rest import client as plivo_client
from support.harness import eventually

ROOT = Path(__file__).parents[2]
AUTH = ("MASANDBOX00000000000", "any token")
NUMBER = "+14155550123"
IMPORTS = "from worker.local.sandbox.server import serve; from worker.local.sandbox.switches import Switches"
BALANCER_OR_PLIVO = {"503": "application/json", "503_bare": "text/html; charset=utf-8"}
AT_ONCE_SECONDS = 20  # even a busy machine ends a process within this time
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Running:
    """One sandbox in a process of its own, and the calls that tests make to it."""

    def __init__(self, process, url):
        self.process, self.url = process, url
        self.plivo = f"{url}/v1/Account/{AUTH[0]}/VerifiedCallerId"
        self.session = requests.Session()
        self.session.auth = AUTH

    def initiate(self, number=NUMBER, **fields):
        return self.session.post(f"{self.plivo}/", json={"phone_number": number, **fields}, timeout=30)

    def complete(self, verification_uuid, otp):
        url = f"{self.plivo}/Verification/{verification_uuid}/"
        return self.session.post(url, json={"otp": otp}, timeout=30)

    def get(self, number=NUMBER):
        return self.session.get(f"{self.plivo}/{number}/", timeout=30)

    def update(self, number=NUMBER, **fields):
        return self.session.post(f"{self.plivo}/{number}/", json=fields, timeout=30)

    def delete(self, number=NUMBER):
        return self.session.delete(f"{self.plivo}/{number}/", timeout=30)

    def list(self, query=""):
        return self.session.get(f"{self.plivo}/?{query}", timeout=30)

    def post(self, route, **body):
        answer = self.session.post(f"{self.url}/sandbox/{route}", json=body, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def read(self, route):
        answer = self.session.get(f"{self.url}/sandbox/{route}", timeout=30)
        answer.raise_for_status()
        return answer.json()

    @property
    def sends(self):
        return self.read("sends")["sends"]

    def verify(self, number):
        sent = self.initiate(number, alias=f"alias of {number}").json()["verification_uuid"]
        return self.complete(sent, self.sends[-1]["code"]).json()


def line_from(stream, seconds=60.0):
    ready, _, _ = select.select([stream], [], [], seconds)
    assert ready, f"the sandbox printed nothing for {seconds} s"
    return stream.readline().strip()


@contextmanager
def running(arguments="port=0, ready=lambda url: print(url, flush=True)"):
    process = subprocess.Popen(
        [sys.executable, "-c", f"{IMPORTS}; serve({arguments})"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    with process:
        try:
            line = line_from(process.stdout)
            assert line, process.stderr.read()
            started = Running(process, re.search(r"http://[0-9.:]+", line)[0])
            started.line = line
            with started.session:
                yield started
        finally:
            process.kill()


def end(process, number=signal.SIGTERM):
    """End it by a signal. It must end at once, whatever it waits for, with exit code 0 and without an error."""
    process.send_signal(number)
    assert process.wait(AT_ONCE_SECONDS) == 0
    assert process.stderr.read() == ""


@pytest.fixture(scope="session")
def server():
    with running() as started:
        yield started
        end(started.process)


@pytest.fixture
def sandbox(server):
    server.post("reset")
    return server


# Plivo's own client


def test_plivos_own_sdk_runs_the_whole_conversation(sandbox, monkeypatch):
    for name in (
        "PLIVO_API_BASE_URI",
        "API_VOICE_BASE_URI",
        "API_VOICE_BASE_URI_FALLBACK_1",
        "API_VOICE_BASE_URI_FALLBACK_2",
    ):
        monkeypatch.setattr(plivo_client, name, f"{sandbox.url}/v1/Account")
    with plivo.RestClient(*AUTH) as client:
        initiated = client.verify_callerids.initiate_verify(NUMBER, alias="Main Office", channel="call")
        code = sandbox.sends[-1]["code"]
        completed = client.verify_callerids.verify_caller_id(initiated.verification_uuid, otp=code)
        got = client.verify_callerids.get_verified_caller_id(NUMBER)
        listed = client.verify_callerids.list_verified_caller_id(limit=5, country="US", alias="Main Office")
        updated = client.verify_callerids.update_verified_caller_id(NUMBER, alias="Branch", subaccount="SA1")
        deleted = client.verify_callerids.delete_verified_caller_id(NUMBER)
        relisted = client.verify_callerids.list_verified_caller_id()
        with pytest.raises(plivo.exceptions.ResourceNotFoundError):
            client.verify_callerids.get_verified_caller_id(NUMBER)

    assert completed.channel == "call"
    assert got.verification_uuid == initiated.verification_uuid
    assert [one.phone_number for one in listed.objects] == [NUMBER]
    assert (updated.alias, updated.subaccount, updated.created_at) == ("Branch", "SA1", got.created_at)
    assert deleted is None  # what that SDK makes of a 204
    assert relisted.objects == []
    operations = [one["kind"] for one in sandbox.read("requests")["requests"]]
    assert operations == ["initiate", "complete", "get", "list", "update", "delete", "list", "get"]


def test_plivos_own_sdk_sends_three_codes_when_the_answers_are_lost(sandbox, monkeypatch, capsys):
    for name in ("API_VOICE_BASE_URI", "API_VOICE_BASE_URI_FALLBACK_1", "API_VOICE_BASE_URI_FALLBACK_2"):
        monkeypatch.setattr(plivo_client, name, f"{sandbox.url}/v1/Account")
    sandbox.post("misfortunes", kind="500_after", times=3)
    with plivo.RestClient(*AUTH) as client, pytest.raises(plivo.exceptions.PlivoServerError):
        client.verify_callerids.initiate_verify(NUMBER)

    assert len(sandbox.sends) == 3


# Faithful to the field and the slash


def test_every_body_has_the_fields_of_plivos_own_and_no_others(sandbox):
    initiated = sandbox.initiate(alias="Main Office", subaccount="")
    uuid, code = initiated.json()["verification_uuid"], sandbox.sends[-1]["code"]
    completed = sandbox.complete(uuid, code)
    got = sandbox.get()
    page = sandbox.session.get(f"{sandbox.plivo}/", timeout=30).json()

    micro, nano = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z"
    answers = [initiated.json(), completed.json(), got.json(), page]
    assert [initiated.status_code, completed.status_code, got.status_code] == [201, 201, 200]
    assert all(UUID.fullmatch(answer.pop("api_id")) for answer in answers)
    assert initiated.json() | {"api_id": ""} == {
        "api_id": "",
        "message": f"Verification code is sent to number {NUMBER} which is valid for 15 minutes",
        "verification_uuid": uuid,
    }
    common = {
        "alias": "Main Office",
        "country": "US",
        "phone_number": NUMBER,
        "subaccount": "",
        "verification_uuid": uuid,
    }
    created = completed.json()["created_at"]
    assert re.fullmatch(nano, created)
    assert answers[1] == {**common, "channel": "sms", "created_at": created}
    assert re.fullmatch(micro, answers[2]["created_at"])
    assert answers[2]["created_at"] == answers[2]["modified_at"] == f"{created[:26]}Z"
    resource = {
        **common,
        "created_at": f"{created[:26]}Z",
        "modified_at": f"{created[:26]}Z",
    }
    assert answers[2] == resource
    assert page == {
        "meta": {"limit": 20, "next": None, "offset": 0, "previous": None, "total_count": 1},
        "objects": [{**resource, "resource_uri": f"/v1/Account/{AUTH[0]}/VerifiedCallerId/14155550123"}],
    }


def test_the_list_is_newest_first_and_its_pages_link_to_each_other(sandbox):
    numbers = [f"+1415555010{digit}" for digit in range(5)]
    for number in numbers:
        sandbox.verify(number)
    first = sandbox.session.get(f"{sandbox.plivo}/?limit=2", timeout=30).json()
    second = sandbox.session.get(f"{sandbox.url}{first['meta']['next']}", timeout=30).json()
    third = sandbox.session.get(f"{sandbox.url}{second['meta']['next']}", timeout=30).json()

    listed = [resource["phone_number"] for page in (first, second, third) for resource in page["objects"]]
    assert listed == numbers[::-1]
    assert first["meta"]["previous"] is None
    assert second["meta"]["previous"] == f"/v1/Account/{AUTH[0]}/VerifiedCallerId/?limit=2&offset=0"
    assert third["meta"] | {"previous": ""} == {
        "limit": 2,
        "next": None,
        "offset": 4,
        "previous": "",
        "total_count": 5,
    }


@pytest.mark.parametrize("query", ["limit=21", "limit=two", "offset=-1"])
def test_a_list_with_an_impossible_limit_or_offset_is_400(sandbox, query):
    assert sandbox.list(query).status_code == 400


@pytest.mark.parametrize(
    "query",
    [
        "",
        "id=",
        "limit=0",
        "limit=&offset=&country=&alias=&subaccount=",
        "limit=0&offset=0&country=0&alias=0&subaccount=0&sub_account=0",
        "limit=null&offset=null&country=null&alias=null&subaccount=null",
        "id=7&sub_account=&account_id=x&auth_token=t&phone_number=0",
    ],
)
def test_an_empty_or_missing_query_field_is_no_filter(sandbox, query):
    sandbox.verify(NUMBER)

    assert sandbox.list(query).json()["meta"] == {
        "limit": 20,
        "next": None,
        "offset": 0,
        "previous": None,
        "total_count": 1,
    }


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("country=GB", ["+442079460001"]),
        ("country=DE", []),
        ("alias=Zo%C3%AB+%26+Co", ["+14155550101"]),
        ("alias=Zo", []),
        ("subaccount=SA1", ["+442079460001", "+14155550101"]),
        ("subaccount=SA1&country=US", ["+14155550101"]),
    ],
)
def test_a_list_has_only_numbers_with_the_requested_country_subaccount_and_alias(sandbox, query, numbers):
    aliases = {"+14155550101": ("Zoë & Co", "SA1"), "+14155550102": ("Office", ""), "+442079460001": ("Office", "SA1")}
    for number, (alias, subaccount) in aliases.items():
        sent = sandbox.initiate(number, alias=alias, subaccount=subaccount).json()["verification_uuid"]
        sandbox.complete(sent, sandbox.sends[-1]["code"])

    page = sandbox.list(query).json()

    assert [resource["phone_number"] for resource in page["objects"]] == numbers
    assert page["meta"]["total_count"] == len(numbers)


def test_the_pages_of_a_filtered_list_link_to_each_other(sandbox):
    for digit in range(3):
        sandbox.verify(f"+1415555010{digit}")
        sandbox.update(f"+1415555010{digit}", alias="a & b" if digit != 1 else "c")

    first = sandbox.list("alias=a+%26+b&limit=1").json()
    second = sandbox.session.get(f"{sandbox.url}{first['meta']['next']}", timeout=30).json()

    assert [page["objects"][0]["phone_number"] for page in (first, second)] == ["+14155550102", "+14155550100"]
    assert second["meta"]["next"] is None
    assert "alias=a+%26+b" in second["meta"]["previous"]


@pytest.mark.parametrize(
    ("body", "alias", "subaccount"),
    [
        ({"alias": "Zoë"}, "Zoë", "SA1"),
        ({"alias": "B", "subaccount": "SA2", "phone_number": NUMBER, "country": "US"}, "B", "SA2"),
        ({"alias": None, "subaccount": ""}, "A", "SA1"),
        ({"alias": 0, "subaccount": 0}, "A", "SA1"),
        ({}, "A", "SA1"),
    ],
)
@pytest.mark.parametrize("written", ["+14155550123/", "%2B14155550123", "14155550123"])
def test_an_update_changes_the_fields_that_it_names_and_the_time(sandbox, body, alias, subaccount, written):
    sent = sandbox.initiate(alias="A", subaccount="SA1").json()["verification_uuid"]
    sandbox.complete(sent, sandbox.sends[-1]["code"])
    sandbox.verify("+14155550199")
    before = sandbox.get().json()
    sandbox.post("clock", advance_seconds=60)

    url = f"{sandbox.plivo}/{written}"
    updated = sandbox.session.post(url, json=body, timeout=30, allow_redirects=False).json()

    assert updated["modified_at"] > before["modified_at"]
    changed = {"alias": alias, "subaccount": subaccount, "modified_at": updated["modified_at"]}
    assert updated | {"api_id": ""} == before | changed | {"api_id": ""}
    assert sandbox.get().json() | {"api_id": ""} == updated | {"api_id": ""}
    assert [one["phone_number"] for one in sandbox.list().json()["objects"]] == ["+14155550199", NUMBER]


@pytest.mark.parametrize("body", ["", "[]", '{"alias": 7}'])
def test_a_wrong_update_is_400_and_changes_nothing(sandbox, body):
    sandbox.verify(NUMBER)
    before = sandbox.list().json()["objects"]

    assert sandbox.session.post(f"{sandbox.plivo}/{NUMBER}/", data=body, timeout=30).status_code == 400
    assert sandbox.list().json()["objects"] == before


@pytest.mark.parametrize(("status", "body"), [(204, None), (200, {"api_id", "message"})])
@pytest.mark.parametrize("written", ["+14155550123/", "%2B14155550123", "14155550123"])
@pytest.mark.parametrize("sent", [None, "{}", '""', "null", '{"phone_number": "+14155550123"}'])
def test_a_deleted_number_is_gone_and_can_be_verified_again(sandbox, status, body, written, sent):
    sandbox.post("switches", delete_status=status)
    sandbox.verify(NUMBER)

    url = f"{sandbox.plivo}/{written}"
    deleted, again = (sandbox.session.delete(url, data=sent, timeout=30, allow_redirects=False) for _ in range(2))

    assert (deleted.status_code, again.status_code, sandbox.get().status_code) == (status, 404, 404)
    assert deleted.json().keys() == body if body else deleted.content == b""
    assert sandbox.verify(NUMBER)["phone_number"] == NUMBER


@pytest.mark.parametrize(
    ("body", "channel"),
    [
        ({"phone_number": "14155550123"}, "sms"),
        ({"phone_number": NUMBER, "channel": None, "alias": None, "subaccount": None}, "sms"),
        ({"phone_number": NUMBER, "channel": "", "alias": "", "subaccount": ""}, "sms"),
        ({"phone_number": NUMBER, "channel": 0, "alias": 0, "subaccount": 0}, "sms"),
        ({"phone_number": NUMBER, "channel": "call", "sub_account": "", "country": "US"}, "call"),
        ({"phone_number": NUMBER, "channel": "Call"}, "call"),  # the sample in PHP's documentation
        ({"phone_number": NUMBER, "channel": "SMS", "sub_account": None, "subAccount": "SA1"}, "sms"),
        ({"phone_number": NUMBER, "sub_account": 7, "otp": "", "limit": 0, "id": "x", "": None}, "sms"),
        ({"phone_number": NUMBER, "account_id": 1, "auth_id": AUTH[0], "auth_token": "t"}, "sms"),
        ({"phone_number": NUMBER, "verification_uuid": "repeated"}, "sms"),
    ],
)
@pytest.mark.parametrize("slash", ["/", ""])
def test_each_form_of_a_body_that_plivos_clients_send_is_accepted(sandbox, body, channel, slash):
    url = f"{sandbox.plivo}{slash}"
    content_type = {"Content-Type": "application/json; charset=utf-8"}
    answer = sandbox.session.post(url, data=json.dumps(body), headers=content_type, timeout=30, allow_redirects=False)

    assert answer.status_code == 201
    (sent,) = sandbox.sends
    assert (sent["phone_number"], sent["channel"], sent["alias"], sent["subaccount"]) == (
        NUMBER,
        channel,
        "",
        "",
    )


@pytest.mark.parametrize("written", ["+14155550123", "%2B14155550123", "14155550123"])
@pytest.mark.parametrize("slash", ["/", ""])
@pytest.mark.parametrize("body", [None, "{}", '""', "0", "null", '{"alias": ""}', "junk"])
def test_a_number_in_the_path_is_accepted_in_each_notation(sandbox, written, slash, body):
    sandbox.verify(NUMBER)
    answer = sandbox.session.get(f"{sandbox.plivo}/{written}{slash}", data=body, timeout=30, allow_redirects=False)

    assert answer.status_code == 200
    assert answer.json()["phone_number"] == NUMBER


# What each of Plivo's clients writes, on the wire

WIRE = {
    "Python": ({"User-Agent": "plivo-python/4.63.0"}, {"auth_id": AUTH[0], "auth_token": AUTH[1], "subaccount": None}),
    "Ruby": (
        {"User-Agent": "plivo-ruby/4.63.0"},
        {"alias": None, "channel": None, "subaccount": None, "country": None},
    ),
    "Node": ({"User-Agent": "plivo-node/4.75.0"}, {"sub_account": "", "isVoiceRequest": "true"}),
    "PHP": ({"User-Agent": "plivo-php/4.62.0", "Accept-Encoding": "*"}, {"is_voice_request": True}),
    "Java": ({"User-Agent": "plivo-java/5.47.0", "Accept-Encoding": "gzip"}, {"id": "", "subaccount": ""}),
    ".NET": ({"User-Agent": "plivo-csharp/5.52.0"}, {"IsVoiceRequest": True}),
    "Go": ({"User-Agent": "plivo-go/7.60.0"}, {"alias": "", "subaccount": 0, "limit": 0, "auth_token": "t", "id": 0}),
    "curl": ({"User-Agent": "curl/8.5.0", "Accept": "*/*"}, {}),
}
WITHOUT_SLASH = {"Java": {"get", "update", "delete"}, ".NET": {"complete", "update", "delete"}, "Node": {"complete"}}


class PlivosClient:
    """Sends the six operations with the habits of one of Plivo's clients."""

    def __init__(self, name, sandbox):
        self.name, self.sandbox = name, sandbox
        self.headers, self.fields = WIRE[name]

    def ask(self, operation, method, path="", **fields):
        slash = "" if operation in WITHOUT_SLASH.get(self.name, ()) else "/"
        query = {"Java": "?id="}.get(self.name, "") if operation == "list" else ""
        body = json.dumps({**fields, **{name: self.fields[name] for name in self.fields.keys() - fields.keys()}})
        if self.name == "Node" and method != "POST":
            body = '""'
        if self.name == "Go":
            body += "\n"
        return self.sandbox.session.request(
            method,
            f"{self.sandbox.plivo}{path}{slash or ('/' if not path else '')}{query}",
            data=body.encode(),
            headers={"Content-Type": "application/json", **self.headers},
            timeout=30,
            allow_redirects=False,
        )


@pytest.mark.parametrize("name", WIRE)
@pytest.mark.parametrize("number", [NUMBER, "14155550123"])
def test_the_habits_of_each_of_plivos_clients_are_taken_in_all_six_operations(sandbox, name, number):
    client = PlivosClient(name, sandbox)
    initiated = client.ask("initiate", "POST", phone_number=number, channel="Call" if name == "PHP" else "call")
    (sent,) = sandbox.sends
    uuid = initiated.json()["verification_uuid"]
    completed = client.ask("complete", "POST", f"/Verification/{uuid}", otp=sent["code"], verification_uuid=uuid)
    got = client.ask("get", "GET", f"/{number}")
    listed = client.ask("list", "GET")
    updated = client.ask("update", "POST", f"/{number}", alias="Branch")
    deleted = client.ask("delete", "DELETE", f"/{number}")

    answers = [initiated, completed, got, listed, updated, deleted]
    assert [answer.status_code for answer in answers] == [201, 201, 200, 200, 200, 204]
    assert {answer.headers["Content-Type"] for answer in answers} == {"application/json"}
    assert all("Content-Encoding" not in answer.headers for answer in answers)
    assert sent["channel"] == completed.json()["channel"] == "call"
    assert completed.json()["subaccount"] == got.json()["subaccount"] == ""
    assert [one["phone_number"] for one in listed.json()["objects"]] == [NUMBER]
    assert updated.json()["alias"] == "Branch"
    assert sandbox.get().status_code == 404


@pytest.mark.parametrize(
    ("fields", "subaccount"),
    [
        ({"sub_account": "SA1"}, "SA1"),
        ({"sub_account": "SA1", "subaccount": ""}, "SA1"),
        ({"sub_account": "SA1", "subaccount": None}, "SA1"),
        ({"sub_account": "SA1", "subaccount": "SA2"}, "SA2"),
        ({"sub_account": 0, "subaccount": "SA2"}, "SA2"),
        ({"subAccount": "SA1"}, ""),
    ],
)
def test_the_subaccount_of_nodes_sample_is_not_lost(sandbox, fields, subaccount):
    uuid = sandbox.initiate(**fields).json()["verification_uuid"]
    completed = sandbox.complete(uuid, sandbox.sends[-1]["code"]).json()
    sandbox.verify("+14155550199")
    updated = sandbox.update("+14155550199", **fields).json()

    assert completed["subaccount"] == sandbox.get().json()["subaccount"] == updated["subaccount"] == subaccount
    if subaccount:
        listed = sandbox.list("&".join(f"{name}={value or ''}" for name, value in fields.items())).json()
        assert listed["meta"]["total_count"] == 2
        assert sandbox.list("sub_account=SA9").json()["objects"] == []


@pytest.mark.parametrize("otp", [None, "", 0, False])
def test_a_completion_without_a_code_is_400_and_costs_no_try(sandbox, otp):
    uuid = sandbox.initiate().json()["verification_uuid"]
    code = sandbox.sends[-1]["code"]
    refused = [sandbox.complete(uuid, otp) for _ in range(6)]

    assert {answer.status_code for answer in refused} == {400}
    assert sandbox.complete(uuid, code).status_code == 201


@pytest.mark.parametrize("slash", ["/", ""])
def test_a_completion_may_repeat_its_uuid_and_omit_the_slash(sandbox, slash):
    uuid = sandbox.initiate().json()["verification_uuid"]
    body = {"otp": sandbox.sends[-1]["code"], "verification_uuid": uuid}
    url = f"{sandbox.plivo}/Verification/{uuid}{slash}"
    answer = sandbox.session.post(url, json=body, timeout=30, allow_redirects=False)

    assert answer.status_code == 201


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("{", "JSON"),
        ("", "JSON"),
        ("[" * 100_000, "JSON"),
        ("[]", "object"),
        ("{}", "phone_number"),
        ('{"phone_number": 14155550123}', "phone_number"),
        ('{"phone_number": "+1415"}', "phone_number"),
        ('{"phone_number": "+0123456789"}', "phone_number"),
        ('{"phone_number": "14155550123", "channel": "fax"}', "channel"),
        ('{"phone_number": "14155550123", "alias": ["a"]}', "alias"),
    ],
)
def test_a_wrong_body_is_400_and_sends_nothing(sandbox, body, error):
    answer = sandbox.session.post(f"{sandbox.plivo}/", data=body, timeout=30)

    assert answer.status_code == 400
    assert error in answer.json()["error"]
    assert sandbox.sends == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PUT", "/VerifiedCallerId/", 405),
        ("DELETE", "/VerifiedCallerId/", 405),
        ("GET", "/VerifiedCallerId/Verification/uuid/", 405),
        ("PUT", "/VerifiedCallerId/14155550123/", 405),
        ("POST", "/VerifiedCallerId/14155550123/", 404),
        ("DELETE", "/VerifiedCallerId/14155550123/", 404),
        ("POST", "/VerifiedCallerIds/", 404),
        ("POST", "//VerifiedCallerId/", 404),
        ("GET", "/VerifiedCallerId/Verification/uuid/more/", 404),
        ("GET", "/VerifiedCallerId/14155550123/", 404),
        ("GET", "/VerifiedCallerId/nonsense/", 404),
        ("GET", "/", 404),
    ],
)
def test_a_wrong_path_or_method_gets_a_json_error(sandbox, method, path, status):
    answer = sandbox.session.request(method, f"{sandbox.url}/v1/Account/{AUTH[0]}{path}", json={}, timeout=30)

    assert answer.status_code == status
    assert answer.json().keys() == {"api_id", "error"}


@pytest.mark.parametrize(
    "auth",
    [
        None,
        ("MASANDBOX00000000001", "the credentials of another account"),
        ("MASANDBOX0000000000", "a character short"),
        (AUTH[0], ""),
    ],
)
def test_a_request_without_the_accounts_credentials_is_401(sandbox, auth):
    path = auth[0] if auth and len(auth[0]) < 20 else AUTH[0]
    with requests.Session() as stranger:
        answer = stranger.post(f"{sandbox.url}/v1/Account/{path}/VerifiedCallerId/", auth=auth, json={}, timeout=30)

    assert answer.status_code == 401
    assert answer.json().keys() == {"api_id", "error"}


@pytest.mark.parametrize("header", ["Bearer x", "Basic", "Basic !!!", "Basic /w==", "Basic YWJj"])
def test_a_garbled_authorization_is_401(sandbox, header):
    with requests.Session() as stranger:
        answer = stranger.get(f"{sandbox.plivo}/", headers={"Authorization": header}, timeout=30)

    assert answer.status_code == 401


def test_given_credentials_are_the_only_valid_ones_and_are_not_printed():
    given = ("SAGIVEN0000000000000", "a-token-of-theirs")
    with running(f"port=0, credentials={given!r}") as own:
        url = f"{own.url}/v1/Account/{given[0]}/VerifiedCallerId/"
        right = own.session.get(url, auth=given, timeout=30)
        wrong = own.session.get(url, auth=(given[0], "another"), timeout=30)
        other = own.session.get(f"{own.plivo}/", auth=AUTH, timeout=30)

        assert [right.status_code, wrong.status_code, other.status_code] == [200, 401, 401]
        assert given[1] not in own.line


# Codes


def test_every_initiate_sends_its_own_code_and_each_code_can_be_completed(sandbox):
    first, second = (sandbox.initiate().json()["verification_uuid"] for _ in range(2))
    codes = {sent["verification_uuid"]: sent["code"] for sent in sandbox.sends}
    live = sandbox.read(f"phones/{NUMBER}")["live_codes"]
    completed = [sandbox.complete(uuid, codes[uuid]).status_code for uuid in (second, first)]
    verified = sandbox.get().json()

    assert live == [codes[first], codes[second]]
    assert completed == [201, 201]
    assert verified["verification_uuid"] == first
    assert verified["modified_at"] > verified["created_at"]
    assert sandbox.read(f"phones/{NUMBER}")["live_codes"] == []


def test_a_wrong_a_foreign_and_a_used_code_verify_no_number(sandbox):
    uuid = sandbox.initiate().json()["verification_uuid"]
    code = sandbox.sends[-1]["code"]
    wrong = f"{(int(code) + 1) % 10_000:04d}"
    unknown = sandbox.complete("00000000-0000-0000-0000-000000000000", code)
    refused = [sandbox.complete(uuid, otp) for otp in (wrong, None, int(code))]

    assert unknown.status_code == 404
    assert [answer.status_code for answer in refused] == [400, 400, 400]
    assert sandbox.get().status_code == 404
    assert sandbox.complete(uuid, code).status_code == 201
    assert sandbox.complete(uuid, code).status_code == 409


def test_five_wrong_codes_end_a_verification_and_no_other(sandbox):
    dead, other = (sandbox.initiate().json()["verification_uuid"] for _ in range(2))
    right, others = (sent["code"] for sent in sandbox.sends)
    wrong = f"{(int(right) + 1) % 10_000:04d}"
    sandbox.complete(other, others + "0")

    refused = [sandbox.complete(dead, otp).status_code for otp in [None, wrong * 2, *[wrong] * 3]]
    live = sandbox.read(f"phones/{NUMBER}")["live_codes"]
    refused += [sandbox.complete(dead, otp).status_code for otp in (wrong, right)]

    assert refused == [400] * 7
    assert live == [right, others]  # None counts as no code, and a wrong code counts for its own verification only
    assert sandbox.read(f"phones/{NUMBER}")["live_codes"] == [others]
    assert sandbox.complete(other, others).status_code == 201


def test_a_code_expires_after_fifteen_minutes_by_the_clock_that_can_be_moved(sandbox):
    uuid = sandbox.initiate().json()["verification_uuid"]
    code = sandbox.sends[-1]["code"]
    sandbox.post("clock", advance_seconds=880)
    before = sandbox.read(f"phones/{NUMBER}")["live_codes"]
    moved = sandbox.post("clock", advance_seconds=20)
    dead = sandbox.complete(uuid, code)
    sandbox.post("clock", offset_seconds=0)

    assert before == [code]
    assert moved["offset_seconds"] == 900
    assert moved["now"] == pytest.approx(time.time() + 900, abs=30)
    assert dead.status_code == 400
    assert sandbox.complete(uuid, code).status_code == 201


@pytest.mark.parametrize("length", [4, 8])
def test_codes_have_the_length_of_the_switch_and_reach_the_phone(sandbox, length):
    sandbox.post("switches", code_length=length)
    sandbox.initiate(channel="sms")
    sandbox.initiate(channel="call")
    inbox = sandbox.read(f"phones/{NUMBER}")["inbox"]

    assert [len(message["code"]) for message in inbox] == [length, length]
    assert [message["channel"] for message in inbox] == ["sms", "call"]
    assert all(message["code"] in message["text"] for message in inbox)


# Switches, and the limit


def test_numbers_of_a_refused_destination_get_403_and_no_code(sandbox):
    switched = sandbox.post("switches", refused=[NUMBER[:5], "+55"])

    assert switched["refused"] == [NUMBER[:5], "+55"]
    assert sandbox.initiate().status_code == 403
    assert sandbox.sends == []
    sandbox.post("switches", refused=[])
    assert sandbox.initiate().status_code == 201


def test_a_token_that_was_rotated_gets_401_and_no_code(sandbox):
    sandbox.post("switches", unknown_tokens=["another", AUTH[1]])
    assert sandbox.initiate().status_code == 401
    assert sandbox.sends == []
    sandbox.post("switches", unknown_tokens=["another"])

    assert sandbox.initiate().status_code == 201


@pytest.mark.parametrize(("status", "completion"), [(200, 200), (201, 201), (202, 201)])
def test_a_success_has_the_status_of_the_switch(sandbox, status, completion):
    sandbox.post("switches", success_status=status)
    answer = sandbox.initiate()

    assert answer.status_code == status
    uuid = answer.json()["verification_uuid"]
    assert sandbox.complete(uuid, sandbox.sends[-1]["code"]).status_code == completion


@pytest.mark.parametrize(
    ("route", "body", "field"),
    [
        ("switches", {"success_status": 204}, "success_status"),
        ("switches", {"code_length": 9}, "code_length"),
        ("switches", {"delete_status": 202}, "delete_status"),
        ("switches", {"latency_ms": [20, 10]}, "latency_ms"),
        ("switches", {"latency_ms": "fast"}, "latency_ms"),
        ("switches", {"limit": True}, "limit"),
        ("switches", {"window_seconds": 0}, "window_seconds"),
        ("switches", {"retry_after": 1}, "retry_after"),
        ("switches", {"refused": "+55"}, "refused"),
        ("switches", {"refused": ["55"]}, "refused"),
        ("switches", {"unknown_tokens": [""]}, "unknown_tokens"),
        ("switches", {"unknown_tokens": "old"}, "unknown_tokens"),
        ("switches", {"rate": 1}, "rate"),
        ("misfortunes", {"kind": "earthquake"}, "kind"),
        ("misfortunes", {"kind": ["503"]}, "kind"),
        ("misfortunes", {"kind": "503", "times": 0}, "times"),
        ("misfortunes", {"kind": "503", "times": None}, "times"),
        ("misfortunes", {"kind": "503", "share": 1.01}, "share"),
        ("misfortunes", {"kind": "503", "share": True}, "share"),
        ("misfortunes", {"kind": "503", "share": None}, "share"),
        ("misfortunes", {"kind": "503", "seconds": 1}, "seconds"),
        ("misfortunes", {"kind": "503", "number": "me"}, "number"),
        ("misfortunes", {"kind": "503", "operation": "resend"}, "operation"),
        ("misfortunes", {"kind": "503", "operation": ["get"]}, "operation"),
        ("misfortunes", {"kind": "503", "operation": None}, "operation"),
        ("misfortunes", {"kind": "503", "operation": "list", "number": NUMBER}, "number"),
        ("misfortunes", {"kind": "refused", "operation": "list"}, "operation"),
        ("misfortunes", {"kind": "timeout_after", "seconds": -1}, "seconds"),
        ("misfortunes", {"kind": "refused", "number": NUMBER}, "number"),
        ("misfortunes", {"kind": "refused", "share": 0.5}, "share"),
        ("misfortunes", {"misfortunes": {"kind": "503"}}, "misfortunes"),
        ("misfortunes", {"misfortunes": ["503"]}, "misfortunes"),
        ("misfortunes", {"misfortunes": [], "kind": "503"}, "misfortunes"),
        ("misfortunes", {"misfortunes": [{"kind": "503"}, {"kind": "503", "share": -1}]}, "misfortunes[1].share"),
        ("clock", {"advance_seconds": 1e12}, "advance_seconds"),
        ("clock", {}, "clock"),
    ],
)
def test_a_wrong_body_to_the_sandboxs_routes_is_400_and_names_the_field(sandbox, route, body, field):
    before = sandbox.read(route)
    answer = sandbox.session.post(f"{sandbox.url}/sandbox/{route}", json=body, timeout=30)

    assert answer.status_code == 400
    assert answer.json()["field"] == field
    assert field in answer.json()["error"]
    after = sandbox.read(route)
    assert after == (before if route != "clock" else before | {"now": after["now"]})


def test_the_switches_can_be_given_at_the_start_and_a_reset_goes_back_to_them():
    with running("port=0, switches=Switches(code_length=8, latency_ms=(1, 2))") as own:
        own.post("switches", code_length=4)
        own.post("reset")

        assert own.read("switches")["code_length"] == 8
        assert own.read("switches")["latency_ms"] == [1, 2]


@pytest.mark.parametrize(("latency", "least"), [(30, 0.03), ([20, 40], 0.02)])
def test_a_request_spends_its_latency_on_the_way_in(sandbox, latency, least):
    sandbox.post("switches", latency_ms=latency)
    started_at = time.monotonic()
    sandbox.initiate()

    (arrival,) = sandbox.read("requests")["requests"]
    assert arrival["monotonic"] - started_at >= least


def test_no_window_has_more_requests_than_the_limit(sandbox):
    limit, window = 10, 0.2
    sandbox.post("switches", limit=limit, window_seconds=window, latency_ms=[0, 5])
    ends = time.monotonic() + 4 * window
    statuses = []

    def hammer(_thread):
        with requests.Session() as own:
            own.auth = AUTH
            while time.monotonic() < ends or statuses.count(201) <= 2 * limit or 429 not in statuses:
                statuses.append(own.post(f"{sandbox.plivo}/", json={"phone_number": NUMBER}, timeout=30).status_code)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(hammer, range(4)))
    arrivals = sandbox.read("requests")["requests"]
    taken = [arrival["monotonic"] for arrival in arrivals if arrival["status"] == 201]
    refused = [arrival["monotonic"] for arrival in arrivals if arrival["status"] == 429]
    ledger = sandbox.read("sends")

    assert len(taken) + len(refused) == len(arrivals) == ledger["requests"]
    assert len(ledger["sends"]) == len(taken)
    assert ledger["refused_429"] == len(refused) > 0
    assert len(taken) > 2 * limit
    assert all(later - first > window for first, later in zip(taken, taken[limit:], strict=False))
    assert all(sum(at - window <= one <= at for one in taken) == limit for at in refused)


@pytest.mark.parametrize("has_header", [True, False])
def test_a_429_has_retry_after_only_if_the_switch_is_on(sandbox, has_header):
    sandbox.post("switches", limit=1, window_seconds=60, retry_after=has_header)
    sandbox.get()
    answer = sandbox.initiate()

    assert answer.status_code == 429
    assert answer.json().keys() == {"api_id", "error"}
    assert answer.headers.get("Retry-After") == ("60" if has_header else None)
    assert sandbox.sends == []


# Misfortunes


def test_a_500_after_sends_its_code(sandbox):
    sandbox.post("misfortunes", kind="500_after", times=2)
    statuses = [sandbox.initiate().status_code for _ in range(3)]

    assert statuses == [500, 500, 201]
    assert len(sandbox.sends) == 3
    assert len(sandbox.read(f"phones/{NUMBER}")["live_codes"]) == 3
    assert sandbox.read("misfortunes") == {"misfortunes": []}


@pytest.mark.parametrize("kind", BALANCER_OR_PLIVO)
def test_a_503_of_plivo_and_of_a_balancer_sends_nothing(sandbox, kind):
    sandbox.post("misfortunes", kind=kind)
    answer = sandbox.initiate()

    assert answer.status_code == 503
    assert answer.headers["Content-Type"] == BALANCER_OR_PLIVO[kind]
    assert sandbox.sends == []
    assert sandbox.initiate().status_code == 201


@pytest.mark.parametrize(("kind", "sent"), [("timeout_after", 1), ("timeout_before", 0)])
def test_a_timeout_gives_no_answer_and_the_ledger_shows_whether_it_sent(sandbox, kind, sent):
    sandbox.post("misfortunes", kind=kind)
    where = urlsplit(sandbox.url)
    prepared = sandbox.session.prepare_request(
        requests.Request("POST", f"{sandbox.plivo}/", json={"phone_number": NUMBER})
    )
    head = "".join(f"{name}: {value}\r\n" for name, value in prepared.headers.items())
    with socket.create_connection((where.hostname, where.port), 10) as waiting:
        waiting.sendall(f"POST {prepared.path_url} HTTP/1.1\r\nHost: {where.netloc}\r\n{head}\r\n".encode())
        waiting.sendall(prepared.body)
        eventually(lambda: sandbox.read("requests")["requests"], within=30)
        answered, _, _ = select.select([waiting], [], [], 0.2)

    assert not answered
    assert len(sandbox.sends) == sent
    assert [arrival["status"] for arrival in sandbox.read("requests")["requests"]] == [None]


def test_a_timeout_ends_without_an_answer(sandbox):
    sandbox.post("misfortunes", kind="timeout_after", seconds=0.1)
    with pytest.raises(requests.ConnectionError):
        sandbox.initiate()

    assert len(sandbox.sends) == 1


def test_a_misfortune_for_one_number_spares_the_others_and_can_be_cleared(sandbox):
    other = "+14155550199"
    sandbox.post("misfortunes", kind="503", times=5, number=NUMBER)
    spared, hit = sandbox.initiate(other), sandbox.initiate()
    armed = sandbox.read("misfortunes")["misfortunes"]
    sandbox.session.delete(f"{sandbox.url}/sandbox/misfortunes", timeout=30)

    assert [spared.status_code, hit.status_code] == [201, 503]
    assert armed == [{"kind": "503", "times": 4, "number": NUMBER}]
    assert sandbox.initiate().status_code == 201


def test_refused_connections_are_refused_and_then_accepted_on_the_same_port(sandbox):
    idle = socket.create_connection((urlsplit(sandbox.url).hostname, urlsplit(sandbox.url).port), 10)
    with idle:
        sandbox.read("clock")  # by its answer, the server has seen the idle connection, too
        started_at = time.monotonic()
        sandbox.post("misfortunes", kind="refused", seconds=3)
        with pytest.raises(requests.ConnectionError, match="refused"):
            sandbox.initiate()
        assert idle.recv(1) == b""  # the idle connection was closed as well
    deadline, answer = started_at + 60, None
    while answer is None and time.monotonic() < deadline:
        try:
            answer = sandbox.initiate()
        except requests.ConnectionError:
            time.sleep(0.01)

    assert answer.status_code == 201
    assert time.monotonic() - started_at >= 3
    assert len(sandbox.sends) == 1


# The ledger


def test_the_ledger_has_time_number_channel_uuid_and_code(sandbox):
    sandbox.post("clock", advance_seconds=3600)
    uuid = sandbox.initiate(channel="call", alias="Office", subaccount="SASANDBOX00000000000").json()
    (sent,) = sandbox.sends

    assert sent.pop("at") == pytest.approx(time.time() + 3600, abs=30)
    assert sent == {
        "phone_number": NUMBER,
        "channel": "call",
        "verification_uuid": uuid["verification_uuid"],
        "code": sandbox.read(f"phones/{NUMBER}")["live_codes"][0],
        "alias": "Office",
        "subaccount": "SASANDBOX00000000000",
    }


@pytest.mark.parametrize("query", ["number=+14155550101", "number=%2B14155550101", "number=14155550101"])
def test_the_ledger_can_be_filtered_by_one_number(sandbox, query):
    for digit in range(3):
        sandbox.initiate(f"+1415555010{digit}")

    assert [sent["phone_number"] for sent in sandbox.read(f"sends?{query}")["sends"]] == ["+14155550101"]


def test_the_ledger_can_be_read_from_where_the_last_reading_ended(sandbox):
    sandbox.initiate("+14155550101")
    seen = sandbox.read("sends")["next"]
    sandbox.initiate("+14155550102")

    assert [sent["phone_number"] for sent in sandbox.read(f"sends?since={seen}")["sends"]] == ["+14155550102"]
    assert [one["kind"] for one in sandbox.read("requests?since=1")["requests"]] == ["initiate"]


def test_requests_are_listed_with_kind_status_and_user_agent(sandbox):
    sandbox.initiate()
    sandbox.get()
    sandbox.session.get(f"{sandbox.url}/v1/nowhere", timeout=30)
    arrivals = sandbox.read("requests")["requests"]

    assert [(arrival["method"], arrival["kind"], arrival["status"]) for arrival in arrivals] == [
        ("POST", "initiate", 201),
        ("GET", "get", 404),
        ("GET", "other", 404),
    ]
    assert arrivals[0]["user_agent"].startswith("python-requests/")
    assert arrivals[0]["at"] == pytest.approx(time.time(), abs=30)


@pytest.mark.parametrize(("method", "path"), [("POST", "reset"), ("DELETE", "sends")])
def test_a_reset_forgets_everything(sandbox, method, path):
    sandbox.verify(NUMBER)
    sandbox.post("switches", limit=7)
    sandbox.post("misfortunes", kind="503")
    sandbox.post("clock", advance_seconds=60)
    sandbox.session.request(method, f"{sandbox.url}/sandbox/{path}", timeout=30)

    assert sandbox.read("sends") == {"sends": [], "next": 0, "requests": 0, "refused_429": 0}
    assert sandbox.read("misfortunes")["misfortunes"] == []
    assert sandbox.read("switches")["limit"] == 300
    assert sandbox.read("clock")["offset_seconds"] == 0
    assert sandbox.get().status_code == 404


# The process


def test_every_answer_has_one_server_header_which_names_the_sandbox(sandbox):
    sandbox.post("misfortunes", kind="503_bare")
    sandbox.post("misfortunes", kind="500_after")
    root, plivo_root = sandbox.url, sandbox.plivo
    requested = [("POST", f"{plivo_root}/")] * 3 + [
        ("PUT", f"{plivo_root}/"),
        ("GET", f"{root}/"),
        ("GET", f"{root}/v1"),
        ("GET", f"{root}/sandbox/"),
        ("PUT", f"{root}/sandbox/clock"),
        ("POST", f"{root}/sandbox/clock"),
    ]
    answers = [sandbox.session.request(*one, json={"phone_number": NUMBER}, timeout=30) for one in requested]

    assert [answer.status_code for answer in answers] == [503, 500, 201, 405, 200, 404, 200, 405, 400]
    for answer in answers:
        (server,) = answer.raw.headers.getlist("Server")
        assert server.startswith("ringproof-sandbox/")


def test_the_sandbox_describes_itself_and_lists_its_routes(sandbox):
    about = sandbox.read("")

    assert "sandbox" in about["this_is"]
    assert about["routes"]["/sandbox/sends"] == ["DELETE", "GET"]
    for path, methods in about["routes"].items():
        if "GET" in methods:
            assert sandbox.session.get(sandbox.url + path.replace("{number}", NUMBER), timeout=30).ok


def test_an_answer_does_not_wait_for_an_acknowledgement(sandbox):
    marks = [(sandbox.get(), time.monotonic())[1] for _ in range(31)]

    quickest = min(later - earlier for earlier, later in pairwise(marks))
    assert quickest < 0.03  # without TCP_NODELAY each would take 0.04


def test_the_sandbox_prints_one_line_to_export_and_no_number_and_no_code():
    with running("port=0") as own:
        exported = dict(re.findall(r"(PLIVO_\w+)=(\S+)", own.line))
        url = f"{exported['PLIVO_BASE_URL']}/Account/{exported['PLIVO_AUTH_ID']}/VerifiedCallerId/"
        auth = (exported["PLIVO_AUTH_ID"], exported["PLIVO_AUTH_TOKEN"])
        answer = own.session.post(url, auth=auth, json={"phone_number": NUMBER}, timeout=30)

        assert answer.status_code == 201
        end(own.process)
        assert own.process.stdout.read() == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("state", ["timeout", "latency", "idle"])
def test_a_signal_ends_the_sandbox_at_once_even_while_a_client_waits(number, state):
    with running() as own:
        where = urlsplit(own.url)
        prepared = own.session.prepare_request(requests.Request("POST", f"{own.plivo}/", json={"phone_number": NUMBER}))
        headers = "".join(f"{name}: {value}\r\n" for name, value in prepared.headers.items())
        request = f"POST {prepared.path_url} HTTP/1.1\r\nHost: {where.netloc}\r\n{headers}\r\n"
        if state == "timeout":
            own.post("misfortunes", kind="timeout_before")
        if state == "latency":
            own.post("switches", latency_ms=60_000)
        with socket.create_connection((where.hostname, where.port), 10) as waiting:
            if state != "idle":
                waiting.sendall(request.encode() + prepared.body)
            own.read("clock")  # by its answer, the sandbox has read the request

            end(own.process, number)

            assert waiting.recv(1) == b""


@pytest.mark.parametrize("kind", ["trickle", "flood"])
def test_a_signal_ends_the_sandbox_at_once_in_the_middle_of_an_answer(kind):
    with running() as own:
        own.post("misfortunes", kind=kind)
        with own.session.post(f"{own.plivo}/", json={"phone_number": NUMBER}, timeout=30, stream=True) as answer:
            assert answer.status_code == 201
            end(own.process)


def test_a_signal_ends_the_sandbox_at_once_while_it_refuses_connections():
    with running() as own:
        own.post("misfortunes", kind="refused", seconds=60)

        end(own.process)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ("port={port}", "port {port} is taken; choose another with --port"),
        ("port=70000", "port 70000 cannot be used"),
        ("port=0, host='0.0.0.0'", "this machine only"),
        ("port=0, host='example.com'", "this machine only"),
        ("port=0, switches=Switches(code_length=3)", "code_length: 3: a whole number from 4 to 8"),
    ],
)
def test_a_sandbox_that_cannot_start_prints_the_cause_and_the_remedy(sandbox, arguments, error):
    port = urlsplit(sandbox.url).port
    program = f"{IMPORTS}; serve({arguments.format(port=port)})"
    failed = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )

    assert failed.returncode == 1
    assert error.format(port=port) in failed.stderr.splitlines()[-1]
