"""Who gets in to the live page, for how long, and for what."""

import itertools
import re
import sys

import pytest
from support.front_door import FrontDoor
from support.harness import Process, eventually, stopped
from support.page import Visitor, texts

from ringproof.ledger.credentials import Scope, issue, revoke
from ringproof.ledger.page_sessions import LASTS

PATHS = ("/", "/page/import", "/page/batches/spring", "/page/batches/spring/rows", "/page/numbers/1", "/page/nothing")


@pytest.mark.parametrize("path", PATHS)
def test_without_a_session_every_page_leads_to_the_login(stranger, path):
    answer = stranger.get(path, allow_redirects=False)

    assert (answer.status_code, answer.headers["Location"]) == (303, "/page/login")


@pytest.mark.parametrize("path", ["/page/sending/pause", "/page/numbers", "/page/import/yes", "/page/logout", "/"])
def test_without_a_session_no_form_is_taken(stranger, path):
    assert stranger.post(path, data={"csrf": "x"}, allow_redirects=False).status_code in {401, 405}


def test_without_a_session_there_is_no_stream(stranger):
    answer = stranger.get("/page/live?view=overview", headers={"Accept": "text/event-stream"})

    assert answer.status_code == 401


@pytest.mark.parametrize("token", ["", "wrong", "\u20ac", "x" * 200])
def test_a_wrong_token_begins_no_session(stranger, issued, token):
    auth_id = issued(*Scope).credential.auth_id
    answer = stranger.post("/page/login", data={"auth_id": auth_id, "token": token})

    assert answer.status_code == 401
    assert "make one with ringproof door add" in texts(answer)
    assert not stranger.cookies
    assert token not in answer.text or not token


def test_a_right_token_of_another_credential_begins_no_session(stranger, issued):
    other = issued(Scope.READ).credential.auth_id
    token = issued(Scope.BATCH).token.get_secret_value()

    assert stranger.post("/page/login", data={"auth_id": other, "token": token}).status_code == 401


def test_a_credential_that_may_only_have_codes_sent_does_not_get_in(stranger, issued):
    answer = stranger.log_in(issued(Scope.VERIFY))

    assert answer.status_code == 403
    assert "--scope read,batch" in texts(answer)
    assert not stranger.cookies


def test_the_cookie_is_for_this_host_alone_and_away_from_scripts(stranger, issued, ledger):
    answer = stranger.log_in(issued(*Scope), allow_redirects=False)
    cookie = answer.headers["Set-Cookie"]
    [token] = stranger.cookies.values()

    assert all(part in cookie for part in ("HttpOnly", "SameSite=strict", "Path=/", f"Max-Age={LASTS.seconds}"))
    assert "Domain" not in cookie
    assert "Secure" not in cookie  # it is on this machine, without TLS
    assert not [key for key in ledger.client.keys("*") if token in key]
    assert len(token) >= 40


def test_behind_tls_the_cookie_never_goes_without_it(environ, issued, tmp_path):
    person = issued(*Scope)
    door = FrontDoor(tmp_path / "log", environ, tmp_path, person, "--behind-proxy")
    with stopped(door), Visitor(door.url) as visitor:
        cookie = visitor.log_in(person, allow_redirects=False).headers["Set-Cookie"]

    assert cookie.startswith("__Host-")
    assert "Secure" in cookie


def test_a_session_ends_with_its_credential(stranger, ledger):
    stranger.log_in(issue(ledger, "to be revoked at the page"))
    before = stranger.get("/", allow_redirects=False).status_code
    revoke(ledger, "to be revoked at the page")
    eventually(lambda: stranger.get("/", allow_redirects=False).status_code == 303, within=5)

    assert before == 200


def test_an_open_page_ends_with_its_credential(stranger, ledger):
    stranger.log_in(issue(ledger, "to be revoked at an open page"))
    events = stranger.events("/page/live?view=overview")
    first, _ = next(events)
    revoke(ledger, "to be revoked at an open page")

    assert first == "parts"
    assert "ended" in [name for name, _ in itertools.islice(events, 10)]


def test_a_session_ends_after_twelve_hours(visitor, ledger):
    keys = ledger.client.keys("ringproof:page_session:*")
    left = [ledger.client.pttl(key) for key in keys]

    assert keys
    assert all(0 < each <= LASTS.total_seconds() * 1000 for each in left)


def test_logging_out_ends_the_session_and_not_only_the_cookie(visitor):
    cookies = dict(visitor.cookies)
    visitor.submit("/page/logout")
    answer = visitor.get("/", cookies=cookies, allow_redirects=False)

    assert not visitor.cookies
    assert answer.status_code == 303


@pytest.mark.parametrize(
    ("scopes", "method", "path", "missing"),
    [
        ([Scope.BATCH], "GET", "/page/batches/spring/rows?outcome=code_sent", "read"),
        ([Scope.BATCH, Scope.VERIFY], "POST", "/page/numbers", "read"),
        ([Scope.BATCH], "GET", "/page/numbers/1", "read"),
        ([Scope.READ, Scope.VERIFY], "GET", "/page/import", "batch"),
        ([Scope.READ, Scope.VERIFY], "POST", "/page/import", "batch"),
        ([Scope.READ, Scope.VERIFY], "POST", "/page/import/yes", "batch"),
        ([Scope.READ, Scope.VERIFY], "POST", "/page/batches/spring/cancel", "batch"),
        ([Scope.READ, Scope.BATCH], "POST", "/page/sending/pause", "verify"),
        ([Scope.READ, Scope.VERIFY], "POST", "/page/sending/resume", "batch"),
    ],
)
def test_each_page_needs_its_scope_and_says_which(visitor_with, scopes, method, path, missing):
    refused = visitor_with(*scopes).request(method, path)

    assert refused.status_code == 403
    assert f"has not the scope {missing}" in texts(refused)


def test_a_person_without_a_scope_is_not_offered_what_needs_it(visitor_with):
    reads, imports = visitor_with(Scope.READ).get("/").text, visitor_with(Scope.BATCH).get("/").text

    assert "/page/import" not in reads
    assert "/page/sending/pause" not in reads
    assert "/page/numbers" in reads
    assert "/page/import" in imports
    assert "/page/numbers" not in imports


def test_a_stream_needs_the_scope_of_its_page(visitor_with):
    assert visitor_with(Scope.BATCH).get("/page/live?view=number&id=1").status_code == 404


def test_on_this_machine_a_printed_link_lets_one_person_in_once(environ, tmp_path):
    process = Process([sys.executable, "-m", "worker", "page", "--port", "0"], tmp_path / "log", environ, tmp_path)
    with stopped(process.until_logged("the live page is at ")):
        link = re.search(r"http://\S+", process.log)[0]
        url = link.partition("/page/")[0]
        with Visitor(url) as person, Visitor(url) as late, Visitor(url) as anonymous:
            wrong = anonymous.get("/page/login?link=wrong")
            entered = person.get(link)
            again = late.get(link)
            elsewhere = person.get("/", headers={"Host": "evil.example"})
            paused = person.submit("/page/sending/pause", reason="a test")
            person.submit("/page/sending/resume")
            nobody = anonymous.get("/", allow_redirects=False)
            api = person.get("/openapi.json")

    assert (wrong.status_code, entered.status_code, again.status_code) == (401, 200, 401)
    assert "start it again" in texts(again)
    assert "Sending is paused" in texts(paused)
    assert nobody.status_code == 303
    assert elsewhere.status_code == 403
    assert api.status_code == 404


def test_an_open_front_door_lets_nobody_in_to_the_page_without_its_link(environ, issued, tmp_path):
    with stopped(FrontDoor(tmp_path / "log", environ, tmp_path, issued(*Scope), "--no-auth")) as door:
        link = re.search(r"live page is at (\S+)", door.until_logged("live page is at ").log)[1]
        with Visitor(door.url) as anonymous, Visitor(door.url) as person:
            anonymous.log_in(issued(*Scope), headers={"Authorization": "Bearer wrong"})
            by_credential = anonymous.get("/", allow_redirects=False).status_code
            by_link = person.get(link)
            other_site = person.get("/", headers={"Origin": "https://a-page.example"}).status_code
        with Visitor(door.url) as nobody:
            refused = nobody.post("/page/login", data={"auth_id": "nobody", "token": "x"})

    assert (by_credential, by_link.status_code, other_site) == (200, 200, 403)
    assert refused.status_code == 401


def test_the_log_of_the_door_has_no_token(door, visitor):
    [token] = visitor.cookies.values()
    visitor.get("/page/login?link=a-link-that-must-not-be-logged")

    assert token not in door.log
    assert "a-link-that-must-not-be-logged" not in door.log
