"""The web applications of the guide, as they are written there: from a number to a verified one, and the errors."""

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
    assert (wrong.status_code, wrong.json["tries_left"]) == (422, 4)
    right = client.post("/phone/code", json={"code": plivo.sends(number)[-1]["code"]})
    assert (right.status_code, right.json["state"]) == (200, "verified")
    invalid = client.post("/phone", json={"phone": "555-0199"})
    assert (invalid.status_code, invalid.json["field"]) == (422, "phone_number")


@pytest.fixture
def fastapi_url(tmp_path):
    (tmp_path / "fastapi_app.py").write_text(file("fastapi_app.py"))
    command = [sys.executable, "-m", "uvicorn", "fastapi_app:app", "--port", "0"]
    environ = os.environ | {"SECRET_KEY": "a test's"}
    with stopped(Process(command, tmp_path / "log", environ, tmp_path).until_logged("running on")) as server:
        yield re.search(r"http://[\d.:]+", server.log)[0]


def test_fastapi(fastapi_url, plivo, number):
    url = fastapi_url

    with requests.Session() as client:
        client.trust_env = False
        assert client.post(f"{url}/phone", json={"phone": number}).status_code == 202
        eventually(lambda: client.get(f"{url}/phone").json()["state"] == "SUCCESS")
        assert client.post(f"{url}/phone", json={"phone": number, "resend": True}).status_code == 429
        assert client.post(f"{url}/phone/code", json={"code": "00000000"}).status_code == 422
        code = plivo.sends(number)[-1]["code"]
        assert client.post(f"{url}/phone/code", json={"code": code}).json()["state"] == "verified"
        assert client.post(f"{url}/phone", json={"phone": "555-0199"}).status_code == 422


DJANGO = """
import json, sys, time

import django
from django.conf import settings

middleware = {}
exec(open("settings.py").read(), middleware)
settings.configure(
    ROOT_URLCONF="accounts.urls",
    SECRET_KEY="a test's",
    ALLOWED_HOSTS=["*"],
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes"],
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    MIDDLEWARE=middleware["MIDDLEWARE"],
)
django.setup()

from django.core.management import call_command
from django.test import Client
from urllib.request import urlopen

call_command("migrate", verbosity=0)
number, phones = sys.argv[1:]
client = Client()
answers = {"sign-up": client.post("/sign-up", {"username": "ada", "password": "x", "phone": number}).status_code}
for _ in range(600):
    answers["state"] = client.get("/phone/state").json()["state"]
    if answers["state"] == "SUCCESS":
        break
    time.sleep(0.05)
answers["resend"] = client.post("/phone", {"phone": number, "resend": "yes"}).status_code
answers["wrong"] = client.post("/phone/code", {"code": "00000000"}).status_code
code = json.load(urlopen(f"{phones}/{number}"))["inbox"][-1]["code"]
answers["right"] = client.post("/phone/code", {"code": code}).json()["state"]
answers["invalid"] = client.post("/sign-up", {"username": "bob", "password": "x", "phone": "555-0199"}).status_code
print(json.dumps(answers))
"""


def test_django(plivo, number, tmp_path):
    for title in ("accounts/views.py", "accounts/urls.py", "settings.py"):
        path = tmp_path / title
        path.parent.mkdir(exist_ok=True)
        path.write_text(file(title))
    (tmp_path / "run.py").write_text(DJANGO)

    done = subprocess.run(
        [sys.executable, "run.py", number, f"{plivo.root}/sandbox/phones"],
        cwd=tmp_path,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "sign-up": 202,
        "state": "SUCCESS",
        "resend": 429,
        "wrong": 422,
        "right": "verified",
        "invalid": 422,
    }
