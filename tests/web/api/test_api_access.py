"""Who may call the API, and what it answers to a request that is none of its own."""

import pytest
import requests
from support.api import Api
from support.front_door import FrontDoor
from support.harness import PATIENCE_SECONDS, eventually, fresh_number, stopped

from ringproof.ledger.credentials import Scope, issue, revoke

PATHS = ("/verifications/1", "/batches/spring", "/batches/spring/export", "/events", "/nothing")


def problem(answer):
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["status"] == answer.status_code
    assert answer.json()["detail"]
    return answer.status_code, answer.json()["reason"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("header", [None, "Bearer", "Bearer wrong", "Basic dXNlcjpwYXNz", "wrong", "Bearer \x7f"])
def test_without_a_right_token_nothing_is_said(door, path, header):
    headers = {"Authorization": header} if header else {}
    with requests.Session() as session:
        session.trust_env = False
        refused = session.get(door.url + path, headers=headers, timeout=PATIENCE_SECONDS)

    assert problem(refused) == (401, "unauthorized")
    assert refused.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_request_without_a_token_is_refused_before_its_body_is_read(door):
    with requests.Session() as session:
        session.trust_env = False
        refused = session.post(f"{door.url}/verifications", data="{", timeout=PATIENCE_SECONDS)

    assert refused.status_code == 401


def test_a_revoked_token_is_refused_within_a_second(door, ledger):
    issued = issue(ledger, "to be revoked")
    with Api(door.url, issued.token) as api:
        eventually(lambda: api.get("/nothing").status_code == 404)
        revoke(ledger, "to be revoked")
        eventually(lambda: api.get("/nothing").status_code == 401, within=5)


@pytest.mark.parametrize(
    ("scopes", "method", "path"),
    [
        ([Scope.BATCH, Scope.READ], "POST", "/verifications"),
        ([Scope.BATCH, Scope.READ], "DELETE", "/verifications/1"),
        ([Scope.BATCH, Scope.READ], "POST", "/verifications/1/confirm"),
        ([Scope.BATCH], "GET", "/verifications/1"),
        ([Scope.BATCH, Scope.VERIFY], "POST", "/numbers/lookup"),
        ([Scope.VERIFY, Scope.READ], "POST", "/batches?name=spring"),
        ([Scope.VERIFY, Scope.READ], "POST", "/batches/spring/cancel"),
        ([Scope.VERIFY], "GET", "/batches/spring"),
        ([Scope.BATCH, Scope.VERIFY], "GET", "/batches/spring/export"),
        ([Scope.BATCH, Scope.VERIFY], "GET", "/events"),
    ],
)
def test_each_operation_needs_its_scope(api_with, scopes, method, path):
    body = {"data": "x", "headers": {"Content-Type": "text/csv"}} if "?" in path else {"json": {}}
    refused = api_with(*scopes).request(method, path, **body)

    assert problem(refused) == (403, "missing_scope")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/verifications", "POST"),
        ("PUT", "/verifications/1", "DELETE, GET"),
        ("OPTIONS", "/verifications/1", "DELETE, GET"),
        ("DELETE", "/batches/spring", "GET"),
        ("POST", "/batches/spring/export", "GET"),
    ],
)
def test_a_path_says_which_methods_it_has(api, method, path, allowed):
    refused = api.request(method, path)

    assert problem(refused) == (405, "method_not_allowed")
    assert refused.headers["Allow"] == allowed


@pytest.mark.parametrize("path", ["/verification", "/verifications/", "/batches/a/b", "/docs/x"])
def test_there_is_no_other_path_and_no_redirect(api, path):
    assert problem(api.get(path)) == (404, "not_found")


@pytest.mark.parametrize("path", ["/verifications", "/numbers/lookup", "/verifications/1/confirm"])
@pytest.mark.parametrize(
    ("kind", "body", "answer"),
    [
        ("text/plain", "{}", (415, "not_json")),
        (None, "{}", (415, "not_json")),
        ("application/json", "{", (400, "no_json")),
        ("application/json", "", (422, "invalid_request")),
        ("application/json", '{"a": ' * 20_000, (413, "too_large")),
        ("application/json; charset=utf-8", "[" * 60_000, (400, "no_json")),
        ("application/json", b"\xff\xfe{", (400, "no_json")),
        ("application/json", '{"phone_number": "\\ud800"}', (422, "invalid_request")),
    ],
)
def test_a_body_that_is_none_is_refused(api, path, kind, body, answer):
    refused = api.post(path, data=body, headers={"Content-Type": kind} if kind else {})

    assert problem(refused) == answer


def test_an_error_has_its_number_masked_and_leads_to_its_explanation(api):
    refused = api.post("/verifications", json={"phone_number": "+1 555 010 9999"})
    page = api.get(refused.json()["type"].partition("#")[0]).text

    assert refused.json()["reason"] == "invalid"
    assert "010" not in refused.text
    assert f'id="{refused.json()["type"].partition("#")[2]}"' in page


def test_a_credential_that_calls_too_often_learns_when_to_come_again(environ, issued, tmp_path):
    program = issued("program", tuple(Scope))
    door = FrontDoor(tmp_path / "log", environ | {"RINGPROOF_DOOR_RATE": "2/10s"}, tmp_path, program)
    with stopped(door), Api(door.url, program.token) as api:
        answers = [api.get("/nothing") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [404, 404, 429]
    assert problem(answers[-1]) == (429, "too_many_requests")
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 5


def test_the_document_and_its_page_need_no_token_and_load_nothing_from_elsewhere(door):
    with requests.Session() as session:
        session.trust_env = False
        document = session.get(f"{door.url}/openapi.json", timeout=PATIENCE_SECONDS).json()
        page = session.get(f"{door.url}/docs", timeout=PATIENCE_SECONDS)

    assert document["openapi"].startswith("3.1")
    for path, operations in document["paths"].items():
        assert all(f"<code>{method.upper()} {path}" in page.text for method in operations)
    assert not [text for text in ("<script", "http://", "https://", "src=") if text in page.text]
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]


def test_without_a_lock_a_program_of_this_machine_needs_no_token(environ, issued, tmp_path):
    program = issued("program", tuple(Scope))
    with stopped(FrontDoor(tmp_path / "log", environ, tmp_path, program, "--no-auth")) as door, Api(door.url) as api:
        verification = api.ask_for_code(fresh_number())
        shown = api.get(f"/verifications/{verification}")
        from_a_page = api.get(f"/verifications/{verification}", headers={"Origin": "https://a-page.example"})

    assert (shown.status_code, from_a_page.status_code) == (200, 403)
