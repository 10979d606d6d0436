"""What the live page lets into a browser, and what it takes from one: foreign forms, hostile texts, too much of it."""

import re

import pytest
import requests
from support.front_door import FrontDoor
from support.harness import fresh_number, stopped
from support.page import Visitor, texts

from ringproof.ledger.audit import entries
from ringproof.ledger.credentials import Scope, issue, revoke
from worker.web.page.rendering import percent, render

HOSTILE = "\"><script>alert(1)</script><img src=x onerror='alert(1)'>"
TURNED = "Ada\u202egnp.exe"
PAGES = ("/", "/page/import", "/page/login", "/page/nothing", "/page/batches/nothing", "/page/static/page.js")


@pytest.mark.parametrize("path", PAGES)
def test_every_answer_lets_the_browser_load_this_pages_own_files_alone(visitor, path):
    headers = visitor.get(path, allow_redirects=False).headers
    policy = headers["Content-Security-Policy"]

    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'self'" in policy
    assert "base-uri 'none'" in policy
    assert not re.search(r"https?:|\*", policy)
    assert (headers["X-Content-Type-Options"], headers["Referrer-Policy"]) == ("nosniff", "same-origin")
    assert headers["Cache-Control"] == ("no-cache" if "static" in path else "no-store")


@pytest.mark.parametrize("path", ["/", "/page/import"])
def test_a_page_has_no_script_or_style_of_its_own_that_the_policy_would_refuse(visitor, path):
    text = visitor.get(path).text
    addresses = re.findall(r'(?:src|href|action)="([^"]*)"', text)

    assert not re.search(r"<style|style=|<script(?! src=)|\son\w+=", text)
    assert all(address.startswith(("/", "#")) or not address for address in addresses)


@pytest.mark.parametrize("csrf", [None, "", "x" * 64, "\u20ac"])
@pytest.mark.parametrize(
    "path", ["/page/sending/pause", "/page/batches/spring/cancel", "/page/numbers", "/page/logout"]
)
def test_a_form_without_the_sessions_token_changes_nothing(visitor, csrf, path):
    refused = visitor.post(path, data={} if csrf is None else {"csrf": csrf})

    assert refused.status_code == 403
    assert "reload the page" in texts(refused)
    assert visitor.get("/", allow_redirects=False).status_code == 200


def test_the_token_of_another_session_is_of_no_use(visitor_with):
    one, other = visitor_with(), visitor_with()

    assert one.csrf != other.csrf
    assert one.post("/page/sending/pause", data={"csrf": other.csrf}).status_code == 403


def test_an_upload_needs_the_token_too(visitor):
    assert visitor.post("/page/import", files={"roster": ("a.csv", "phone\n+14155550123")}).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:1"},
    ],
)
@pytest.mark.parametrize("path", ["/page/sending/pause", "/page/import", "/page/login"])
def test_a_form_that_another_site_sends_is_refused_before_it_is_read(visitor, headers, path):
    refused = visitor.post(path, data={"csrf": visitor.csrf}, headers=headers)

    assert refused.status_code == 403
    assert "another site has sent this form" in texts(refused)


def test_a_form_that_the_page_itself_sends_is_taken(door, visitor):
    own = {"Origin": door.url}
    answers = [
        visitor.post("/page/numbers", data={"csrf": visitor.csrf, "number": "1"}, headers=headers)
        for headers in (own, {"Sec-Fetch-Site": "same-origin", "Origin": "http://behind-a-proxy"}, {})
    ]

    assert {answer.status_code for answer in answers} == {422}


def test_a_get_changes_nothing(visitor, ledger):
    before = [entry.action for entry in entries(ledger, 10_000)]
    paths = ("/page/sending/pause", "/page/sending/resume", "/page/batches/spring/cancel", "/page/import/yes")

    assert {visitor.get(path).status_code for path in paths} == {405}
    assert [entry.action for entry in entries(ledger, 10_000)] == before


def test_a_hostile_roster_is_shown_and_not_run(visitor, batch_name):
    roster = f"phone,alias\n{fresh_number()},{HOSTILE.replace(',', '')}\n"
    forecast = visitor.upload(roster, filename=HOSTILE.replace("/", "\u2215"), name=batch_name)
    refused = visitor.upload(HOSTILE, filename=f"{HOSTILE}.csv")

    assert "<script>alert" not in forecast.text + refused.text
    assert "<img" not in forecast.text + refused.text
    assert "<script>alert(1)" in texts(forecast)


def test_a_hostile_reason_for_a_pause_is_shown_and_not_run(visitor):
    try:
        shown = visitor.submit("/page/sending/pause", reason=HOSTILE + TURNED)
    finally:
        visitor.submit("/page/sending/resume")

    assert "<script>alert" not in shown.text
    assert "<script>alert(1)</script>" in texts(shown)
    assert "\u202e" not in shown.text


def test_a_hostile_alias_is_shown_and_not_run(visitor, ledger):
    number = fresh_number()
    ledger.accept(number, token=number, alias=TURNED.replace("\u202e", "<b>"))
    story = visitor.submit("/page/numbers", number=number)
    shown = visitor.post(story.url, data={"csrf": visitor.csrf})

    assert "Ada" not in story.text
    assert "Ada&lt;b&gt;gnp.exe" in shown.text


def test_a_hostile_credential_is_shown_and_not_run(door, ledger):
    person = issue(ledger, "<i>Eve</i>")
    with Visitor(door.url) as visitor:
        shown = visitor.log_in(person).text
    revoke(ledger, "<i>Eve</i>")

    assert "&lt;i&gt;Eve&lt;/i&gt;" in shown


@pytest.mark.parametrize(
    "path",
    [
        "/page/batches/{}",
        "/page/batches/x/rows?outcome={}",
        "/page/live?view={}",
        "/page/live?view=batch&name={}",
        "/?done={}",
        "/page/numbers/{}",
        "/page/{}",
        "/page/login?link={}",
    ],
)
def test_an_address_is_not_repeated_as_a_part_of_the_page(visitor, path):
    answer = visitor.get(path.format(requests.utils.quote(HOSTILE, safe="")), stream=True)
    text = next(answer.iter_content(20_000)).decode()
    answer.close()

    assert "<script>alert" not in text
    assert "<img" not in text


@pytest.mark.parametrize(
    ("fields", "status"),
    [({"reason": "x" * 20_000}, 413), ({f"field{n}": "" for n in range(30)}, 400)],
)
def test_a_form_that_is_too_large_is_refused(visitor, fields, status):
    assert visitor.submit("/page/sending/pause", **fields).status_code == status


def test_an_upload_with_too_many_parts_or_no_end_is_refused(visitor):
    csrf = visitor.csrf
    many = visitor.post("/page/import", data={"csrf": csrf, **{f"f{n}": "" for n in range(30)}}, files={"roster": "x"})
    files = [("roster", ("a.csv", "phone")), ("other", ("b.csv", "phone"))]
    two = visitor.post("/page/import", data={"csrf": csrf}, files=files)
    long = visitor.post("/page/import", data={"csrf": csrf, "name": "x" * 5000}, files={"roster": "x"})
    cut_off = visitor.post(
        "/page/import", data=b"--b\r\nContent-", headers={"Content-Type": "multipart/form-data; boundary=b"}
    )
    plain = visitor.post("/page/import", data={"csrf": csrf})

    assert [answer.status_code for answer in (many, two, long, plain)] == [400, 400, 400, 415]
    assert cut_off.status_code in {400, 403}


@pytest.mark.parametrize(
    "path",
    [
        "/page/batches/x/rows?outcome=code_sent&after=sms:99999999999999999999",
        "/page/batches/%00",
        "/page/batches/a%2Fb",
        "/page/static/..%2Fguard.py",
    ],
)
def test_an_address_that_is_none_leads_to_a_page_that_says_so(visitor, path):
    assert visitor.get(path).status_code in {404, 405}


def test_somebody_who_calls_too_often_learns_to_wait(environ, issued, tmp_path):
    person = issued(*Scope)
    door = FrontDoor(tmp_path / "log", environ | {"RINGPROOF_DOOR_RATE": "3/10s"}, tmp_path, person)
    with stopped(door), Visitor(door.url) as visitor:
        visitor.log_in(person)
        answers = [visitor.get("/") for _ in range(3)]

    assert answers[-1].status_code == 429
    assert "wait a moment" in texts(answers[-1])


def test_a_text_that_fills_a_template_is_escaped_and_printable():
    html = render("parts/problem.html", text=f"{HOSTILE}\x07{TURNED}")

    assert "<script>" not in html
    assert "\x07" not in html
    assert "\u202e" not in html


def test_a_share_is_nothing_or_all_only_if_it_is():
    shares = [percent(part, whole) for part, whole in ((0, 5), (1, 1000), (1, 3), (999, 1000), (5, 5), (0, 0))]

    assert shares == ["0 %", "<1 %", "33 %", ">99 %", "100 %", "–"]


def test_the_log_of_the_door_has_no_number(door, visitor):
    number = fresh_number()
    visitor.submit("/page/numbers", number=number)

    assert number.removeprefix("+") not in door.log
