"""The sandbox's inbox page: what each phone has got, for a person with a browser, a keyboard or a screen reader."""

import os
import re
import sys

import pytest
import requests
from support.browser import chromium, complaints_of, ignores_its_loop, needs_browser
from support.harness import AUTH_ID, AUTH_TOKEN, PATIENCE_SECONDS, Process, eventually, stopped

SIZES = ({"width": 1280, "height": 800}, {"width": 375, "height": 800})
NUMBER = "+14155550123"


class Inbox:
    """The real command, with neither a Redis nor a worker, as a person runs it beside an application."""

    def __init__(self, url):
        self.url = url
        self._session = requests.Session()
        self._session.trust_env = False

    def ask_for_code(self, number=NUMBER, **fields):
        url = f"{self.url}/v1/Account/{AUTH_ID}/VerifiedCallerId/"
        answer = self._session.post(
            url, json={"phone_number": number, **fields}, auth=(AUTH_ID, AUTH_TOKEN), timeout=PATIENCE_SECONDS
        )
        assert answer.status_code == 201, answer.text
        return self.ask("GET", f"phones/{number}")["inbox"][-1]["code"]

    def ask(self, method, path, **options):
        return self._session.request(method, f"{self.url}/sandbox/{path}", timeout=PATIENCE_SECONDS, **options).json()

    def get(self, path, **options):
        return self._session.get(self.url + path, timeout=PATIENCE_SECONDS, **options)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inbox")
    own = {name: value for name, value in os.environ.items() if not name.startswith(("RINGPROOF_", "PLIVO_", "REDIS_"))}
    command = [sys.executable, "-m", "worker", "sandbox", "--port", "0"]
    answers = ["--answers", "right=1", "--answer-after", "600", "--enter"]
    process = Process([*command, *answers], folder / "sandbox.log", {**own, "PYTHONUNBUFFERED": "1"}, folder)
    with stopped(process):
        process.until_logged("the phones' inbox")
        yield Inbox(re.search(r"http://[0-9.:]+", process.log)[0])


@pytest.fixture
def inbox(served):
    served.ask("POST", "reset")
    return served


def test_the_page_shows_each_phone_with_its_newest_message_first(inbox):
    first = inbox.ask_for_code()
    second = inbox.ask_for_code(channel="call")
    other = inbox.ask_for_code("+447400123456")

    page = inbox.get("/").text

    def place(digits):
        """Where a number or a code is, and not a part of another one that looks like it."""
        return re.search(rf"(?<!\d){re.escape(digits)}(?!\d)", page).start()

    places = [place(digits) for digits in ("+447400123456", other, NUMBER, second, first)]
    assert places == sorted(places)
    assert page.count("works until") == 3
    assert "Call at" in page


def test_the_page_says_what_became_of_a_code(inbox):
    inbox.ask_for_code()
    inbox.ask("POST", "clock", json={"advance_seconds": 901})

    page = inbox.get("/").text

    assert "clock was moved by +901 seconds" in page
    assert "ended at" in page


def test_without_a_redis_and_a_worker_people_enter_their_codes_when_their_time_comes(inbox):
    hopeless = "+12025550151"  # no code of its is right
    inbox.ask_for_code()
    inbox.ask_for_code(hopeless)
    before = inbox.get("/").text

    inbox.ask("POST", "clock", json={"advance_seconds": 601})

    eventually(lambda: "the number is verified" in inbox.get("/").text, why="nobody has entered a code")
    assert "the number is verified" not in before
    assert not inbox.ask("GET", f"phones/{NUMBER}")["live_codes"]
    assert inbox.ask("GET", f"phones/{hopeless}")["live_codes"]
    assert [one["kind"] for one in inbox.ask("GET", "requests")["requests"]] == ["initiate"] * 2 + ["complete"] * 2


@pytest.mark.parametrize("path", ["/", "/inbox/messages", "/inbox/inbox.js", "/inbox/inbox.css", "/sandbox/"])
def test_a_browser_loads_and_frames_nothing_else(inbox, path):
    answer = inbox.get(path, headers={"Accept": "text/html"})

    assert answer.status_code == 200
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert not re.search(r"<script(?! src=)|<style|\son\w+=|\sstyle=", answer.text)


def test_another_sites_name_for_this_machine_gets_no_page(inbox):
    assert inbox.get("/", headers={"Host": "evil.example"}).status_code == 403


def test_a_page_that_is_current_is_not_sent_again(inbox):
    inbox.ask_for_code()
    first = inbox.get("/inbox/messages")

    again = inbox.get("/inbox/messages", headers={"If-None-Match": first.headers["ETag"]})
    inbox.ask_for_code()
    changed = inbox.get("/inbox/messages", headers={"If-None-Match": first.headers["ETag"]})

    assert (again.status_code, again.content) == (304, b"")
    assert changed.status_code == 200


def test_a_long_list_shows_its_newest_messages_and_says_how_many_are_older(inbox):
    inbox.ask("POST", "switches", json={"limit": 1000})
    for line in range(203):
        inbox.ask_for_code(f"+1415556{line:04}")

    page = inbox.get("/").text

    assert page.count('<li class="message ') == 200
    assert "3 older messages are not shown" in page


# In a browser


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def opened(browser, inbox):
    """The page in a browser, and what the browser complains about or asks elsewhere."""
    context = browser.new_context()
    context.set_default_timeout(PATIENCE_SECONDS * 1000)
    page = context.new_page()
    complaints = complaints_of(page, inbox.url)
    page.goto(inbox.url)
    page.get_by_text("Live", exact=True).wait_for()
    yield page, complaints
    context.close()


@needs_browser
@ignores_its_loop
def test_a_message_appears_by_itself_and_is_said_to_a_screen_reader(opened, inbox):
    page, complaints = opened
    page.get_by_text("No phone has got a code yet").wait_for()

    code = inbox.ask_for_code()
    page.get_by_role("heading", name=NUMBER).wait_for()
    shown = page.locator(".code").first.inner_text()
    page.get_by_text(f"New message for {NUMBER}").wait_for(state="attached")
    page.get_by_label("Phone number").fill("(415) 999")
    page.get_by_text("0 of 1 phone").wait_for()
    is_hidden = not page.get_by_role("heading", name=NUMBER).is_visible()
    inbox.ask_for_code("+14159990123")
    page.get_by_text("1 of 2 phones").wait_for()

    assert code in shown
    assert is_hidden
    assert page.get_by_label("Phone number").input_value() == "(415) 999"
    assert page.get_by_label("Phone number").evaluate("it => it === document.activeElement")
    assert not re.search(r"\d{7}", page.url)
    assert not complaints


@needs_browser
@ignores_its_loop
def test_the_keyboard_reaches_all_of_it_and_no_width_or_scheme_has_a_barrier(opened, inbox):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page, complaints = opened
    found, reached = [], []
    for has_messages in (False, True):
        if has_messages:
            inbox.ask_for_code()
            inbox.ask_for_code("+447400123456")
            page.get_by_role("heading", name="+447400123456").wait_for()
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            for size in SIZES:
                page.set_viewport_size(size)
                violations = axe.run(page).response["violations"]
                found += [(scheme, size["width"], one["id"]) for one in violations if one["impact"] != "minor"]
                if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                    found.append((scheme, size["width"], "it is too wide"))
    page.evaluate("document.activeElement.blur()")
    for _ in range(3):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.textContent.trim() || document.activeElement.id"))

    assert not found
    assert reached == ["Skip to the messages", "filter", "All switches, as curl lines"]
    assert not complaints


@needs_browser
@ignores_its_loop
def test_without_javascript_the_page_is_whole(browser, inbox):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    code = inbox.ask_for_code()
    page.goto(inbox.url)

    shown = page.locator(".code").first.inner_text()
    has_filter = page.get_by_label("Phone number").is_visible()
    page.get_by_role("link", name="Load the newest messages").click()
    context.close()

    assert code in shown
    assert not has_filter
