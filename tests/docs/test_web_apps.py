"""The web applications of the guide, as they are written there: from a number to a verified one, and the errors."""

import contextlib
import gc
import json
import os
import re
import runpy
import subprocess
import sys

import pytest
import requests
from conftest import POLICY
from pages import file
from support.harness import Process, eventually, fresh_number, stopped

from ringproof.settings import Settings

pytestmark = pytest.mark.usefixtures("worker", "cooldown_of_a_minute")


@pytest.fixture
def cooldown_of_a_minute(ledger):
    """Have a resend come too early, however busy the machine is."""
    ledger.publish_policy(Settings.read(POLICY | {"RINGPROOF_RESEND_COOLDOWN_SECONDS": "60"}).policy)


@pytest.fixture
def flask_client(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "a test's")
    path = tmp_path / "flask_app.py"
    path.write_text(file("flask_app.py"))
    return runpy.run_path(str(path))["app"].test_client()


@pytest.fixture(autouse=True)
def _no_result_outlives_its_redis():
    """Collect the results that a web framework's tracebacks refer to: each one unsubscribes when it is deleted."""
    yield
    gc.collect()


@pytest.fixture
def number():
    return fresh_number()


def test_flask(flask_client, plivo, number):
    client = flask_client

    assert client.post("/phone", json={"phone": number}).status_code == 202
    eventually(lambda: client.get("/phone").json["state"] == "SUCCESS")
    assert client.post("/phone", json={"phone": number, "resend": True}).status_code == 429
    wrong = client.post("/phone/code", json={"code": "00000000"})
    assert (wrong.status_code, "Tries left: 4" in wrong.json["error"]) == (422, True)
    right = client.post("/phone/code", json={"code": plivo.sends(number)[-1]["code"]})
    assert (right.status_code, right.json["state"]) == (200, "VERIFIED")
    invalid = client.post("/phone", json={"phone": "555-0199"})
    assert (invalid.status_code, "country code" in invalid.json["error"]) == (422, True)


@contextlib.contextmanager
def fastapi(folder, environ):
    """Run the application of the guide, and give its address."""
    (folder / "fastapi_app.py").write_text(file("fastapi_app.py"))
    command = [sys.executable, "-m", "uvicorn", "fastapi_app:app", "--port", "0"]
    server = Process(command, folder / "log", os.environ | environ, folder)
    with stopped(server.until_logged("running on")):
        yield re.search(r"http://[\d.:]+", server.log)[0]


@pytest.fixture(scope="module")
def fastapi_url(environ, tmp_path_factory):
    with fastapi(tmp_path_factory.mktemp("fastapi"), environ | {"SECRET_KEY": "a test's"}) as url:
        yield url


def test_fastapi(fastapi_url, plivo, number):
    url = fastapi_url

    with requests.Session() as client:
        client.trust_env = False
        assert client.post(f"{url}/phone", json={"phone": number}).status_code == 202
        eventually(lambda: client.get(f"{url}/phone").json()["state"] == "SUCCESS")
        assert client.post(f"{url}/phone", json={"phone": number, "resend": True}).status_code == 429
        assert client.post(f"{url}/phone/code", json={"code": "00000000"}).status_code == 422
        code = plivo.sends(number)[-1]["code"]
        assert client.post(f"{url}/phone/code", json={"code": code}).json()["state"] == "VERIFIED"
        assert client.post(f"{url}/phone", json={"phone": "555-0199"}).status_code == 422


class Browser:
    """One session of a web application, whose bodies may be anything: `post("/phone", "[1, 2]")`."""

    def __init__(self, open_):
        self._open = open_

    def post(self, path, body):
        """Post a body, which is JSON unless it is text; return the status, the answer and its headers."""
        text = body if isinstance(body, str | bytes) else json.dumps(body)
        return self._open("POST", path, data=text, headers={"Content-Type": "application/json"})

    def state(self):
        status, answer, _ = self._open("GET", "/phone")
        assert status == 200
        return answer["state"]


@pytest.fixture
def flask_browser(flask_client):
    def browser():
        client = flask_client.application.test_client()

        def open_(method, path, **options):
            answer = client.open(path, method=method, **options)
            return answer.status_code, answer.get_json(silent=True), answer.headers

        return Browser(open_)

    return browser


@pytest.fixture
def fastapi_browser(fastapi_url):
    with contextlib.ExitStack() as sessions:

        def browser():
            session = sessions.enter_context(requests.Session())
            session.trust_env = False

            def open_(method, path, **options):
                answer = session.request(method, fastapi_url + path, **options)
                is_json = "json" in answer.headers.get("content-type", "")
                return answer.status_code, answer.json() if is_json else None, answer.headers

            return Browser(open_)

        yield browser


@pytest.fixture(params=["flask", "fastapi"])
def browser(request):
    """Return a function that opens a new session."""
    return request.getfixturevalue(f"{request.param}_browser")


def hostile_bodies(number):
    """Return bodies that ask for no code."""
    field = f'"phone": "{number}"'
    return [
        *(
            "null",
            "true",
            "17",
            "1e999",
            "NaN",
            f'"{number}"',
            f'["{number}"]',
            f"[{{{field}}}]",
            "[]",
            "{}",
            "{",
            "",
            " ",
        ),
        *(
            '{"phone": null}',
            f'{{"phone": {number[1:]}}}',
            f'{{"phone": ["{number}"]}}',
            f'{{"phone": {{"a": "{number}"}}}}',
        ),
        *('{"phone": true}', '{"phone": ""}', '{"phone": "\\ud800"}', '{"phone": "\\u0000"}', '{"phone": "+1\\n2"}'),
        *(
            f'{{{field}, "resend": {wrong}}}'
            for wrong in ('"yes"', '"true"', "1", "null", "[true]", '{"a": 1}', "true")
        ),
        *(
            "[" * 500,
            '{"phone": ' * 50,
            f'{{"phone": "{number}{"0" * 2000}"}}',
            "[" * 100_000,
            " " * 600 + f"{{{field}}}",
        ),
        *(b"\xff\xfe", b'{"phone": "\xff"}', '{"phone": "\u202e32105555141+"}', '{"phone": "①②③④"}'),
    ]


HOSTILE_CODES = [
    *(
        "null",
        "[]",
        "{}",
        '"1234"',
        '{"code": null}',
        '{"code": 1234}',
        '{"code": ["1234"]}',
        '{"code": {"a": "1234"}}',
    ),
    *('{"code": true}', '{"code": ""}', '{"code": "\\ud800"}', '{"code": "①②③④"}', '{"code": "\u202e4321"}'),
    *(f'{{"code": "{"1234" * 50}"}}', f'{{"code": "{"1" * 5000}"}}', "[" * 500, "{"),
]


class TestHostileInput:
    """What a stranger can send instead of what the page sends."""

    def test_is_refused_and_sends_nothing(self, browser, plivo, number, ledger):
        session = browser()
        for body in hostile_bodies(number):
            status, answer, _ = session.post("/phone", body)
            assert status in {400, 413, 422}, body
            assert number not in str(answer)
        assert session.state() == "PENDING"
        assert ledger.read(number) is None
        assert plivo.sends() == []

    def test_a_body_without_a_length_is_not_read(self, fastapi_url):
        assert requests.post(f"{fastapi_url}/phone", data=iter([b"{}"]), timeout=30).status_code == 413

    def test_in_place_of_a_code_uses_up_no_try(self, browser, plivo, number, ledger):
        session = browser()
        session.post("/phone", {"phone": number})
        eventually(lambda: session.state() == "SUCCESS")
        for body in HOSTILE_CODES:
            assert session.post("/phone/code", body)[0] in {400, 413, 422}, body
        assert ledger.read(number).tries == 0
        code = "".join(chr(ord("０") + int(digit)) for digit in plivo.sends(number)[-1]["code"])
        assert session.post("/phone/code", {"code": f" {code} "})[0] == 200, "digits of a phone's own keyboard"

    def test_digits_of_other_scripts_are_the_same_number(self, browser, plivo, number):
        session = browser()
        for written in (number, "+" + "".join(chr(ord("０") + int(digit)) for digit in number[1:])):
            assert session.post("/phone", {"phone": written})[0] == 202
        eventually(lambda: session.state() == "SUCCESS")
        assert len(plivo.sends(number)) == 1


class TestAnotherSession:
    """Somebody who types another person's number learns nothing of it, and cannot confirm it."""

    def test_learns_no_state_and_has_no_resend_without_a_number_of_its_own(self, browser, plivo, number):
        owner, stranger = browser(), browser()
        owner.post("/phone", {"phone": number})
        eventually(lambda: owner.state() == "SUCCESS")

        assert stranger.state() == "PENDING"
        assert stranger.post("/phone", {"phone": number, "resend": True})[0] == 422
        assert stranger.post("/phone/code", {"code": plivo.sends(number)[-1]["code"]})[0] == 422
        assert stranger.post("/phone", {"phone": number})[0] == 202, "as for any number"
        assert stranger.state() == "PENDING"
        assert owner.post("/phone", {"phone": number})[0] == 202
        assert owner.state() == "SUCCESS", "a second click changes nothing"
        assert owner.post("/phone/code", {"code": plivo.sends(number)[-1]["code"]})[1]["state"] == "VERIFIED"
        status, answer, _ = stranger.post("/phone/code", {"code": "1234"})
        assert (status, "verified" in str(answer).lower()) == (422, False)
        assert len(plivo.sends(number)) == 1

    def test_has_a_resend_go_to_the_number_of_the_session(self, browser, ledger, plivo, number):
        ledger.publish_policy(Settings.read(POLICY | {"RINGPROOF_RESEND_COOLDOWN_SECONDS": "0"}).policy)
        session, others = browser(), fresh_number()
        session.post("/phone", {"phone": number})
        eventually(lambda: session.state() == "SUCCESS")

        assert session.post("/phone", {"phone": others, "resend": True})[0] == 202
        eventually(lambda: len(plivo.sends(number)) == 2)
        assert plivo.sends(others) == []


def test_a_cap_is_answered_with_the_seconds_until_its_end(browser, ledger, number):
    ledger.publish_policy(Settings.read(POLICY | {"RINGPROOF_MAX_CODES_PER_DAY": "1"}).policy)
    session = browser()
    session.post("/phone", {"phone": number})
    eventually(lambda: session.state() == "SUCCESS")
    ledger.publish_policy(
        Settings.read(POLICY | {"RINGPROOF_MAX_CODES_PER_DAY": "1", "RINGPROOF_RESEND_COOLDOWN_SECONDS": "0"}).policy
    )
    status, answer, headers = session.post("/phone", {"resend": True})

    assert status == 429
    assert 86_000 < int(headers["Retry-After"]) <= 86_401
    assert "RINGPROOF" not in str(answer)


def test_a_locked_number_is_answered_with_the_seconds_until_its_end(browser, ledger, number):
    ledger.publish_policy(Settings.read(POLICY | {"RINGPROOF_MAX_WRONG_CODES": "1"}).policy)
    session = browser()
    session.post("/phone", {"phone": number})
    eventually(lambda: session.state() == "SUCCESS")
    assert session.post("/phone/code", {"code": "00000000"})[0] == 422
    status, _, headers = session.post("/phone/code", {"code": "00000000"})

    assert status == 429
    assert 86_000 < int(headers["Retry-After"]) <= 86_400


NO_REDIS = {"RINGPROOF_REDIS_URL": "redis://127.0.0.1:1/0", "SECRET_KEY": "a test's"}
FLASK_ALONE = """
from flask_app import app
answer = app.test_client().post("/phone", json={"phone": "+14155550123"})
print(answer.status_code, answer.headers["Retry-After"], answer.get_data(as_text=True))
"""


def test_flask_answers_without_redis_and_does_not_show_its_address(tmp_path):
    (tmp_path / "flask_app.py").write_text(file("flask_app.py"))
    command = [sys.executable, "-c", FLASK_ALONE]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | NO_REDIS, capture_output=True, text=True, check=True)

    assert done.stdout.startswith("503 5 ")
    assert "127.0.0.1" not in done.stdout


def test_fastapi_answers_without_redis_and_does_not_show_its_address(tmp_path):
    with fastapi(tmp_path, NO_REDIS) as url:
        answer = requests.post(f"{url}/phone", json={"phone": "+14155550123"}, timeout=30)

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert "127.0.0.1" not in answer.text
