"""The web applications of the guide, as they are written there: from a number to a verified one, and the errors."""

import json
import os
import subprocess
import sys
import threading

import pytest
import requests
import uvicorn
from pages import file
from support.harness import eventually, fresh_number

pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Write an application of the guide into a folder, and return its module."""
    monkeypatch.syspath_prepend(tmp_path)

    def load_(title):
        (tmp_path / title).write_text(file(title))
        module = title.removesuffix(".py")
        sys.modules.pop(module, None)
        return __import__(module)

    return load_


@pytest.fixture
def number():
    return fresh_number()


def test_flask(load, plivo, number):
    client = load("flask_app.py").app.test_client()

    assert client.post("/phone", json={"phone": number}).status_code == 202
    eventually(lambda: client.get(f"/phone/{number}").json["state"] == "SUCCESS")
    assert client.post("/phone", json={"phone": number, "resend": True}).status_code == 429
    wrong = client.post(f"/phone/{number}/code", json={"code": "00000000"})
    assert (wrong.status_code, wrong.json["tries_left"]) == (422, 4)
    right = client.post(f"/phone/{number}/code", json={"code": plivo.sends(number)[-1]["code"]})
    assert (right.status_code, right.json["state"]) == (200, "verified")
    invalid = client.post("/phone", json={"phone": "555-0199"})
    assert (invalid.status_code, invalid.json["field"]) == (422, "phone_number")


@pytest.fixture
def served():
    """Serve an ASGI application, and return its URL."""
    servers = []

    def serve(app):
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
        thread = threading.Thread(target=server.run)
        thread.start()
        servers.append((server, thread))
        eventually(lambda: server.started)
        return f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"

    yield serve
    for server, thread in servers:
        server.should_exit = True
        thread.join()


def test_fastapi(load, served, plivo, number):
    url = served(load("fastapi_app.py").app)

    with requests.Session() as client:
        client.trust_env = False
        assert client.post(f"{url}/phone", json={"phone": number}).status_code == 202
        eventually(lambda: client.get(f"{url}/phone/{number}").json()["state"] == "SUCCESS")
        assert client.post(f"{url}/phone", json={"phone": number, "resend": True}).status_code == 429
        assert client.post(f"{url}/phone/{number}/code", json={"code": "00000000"}).status_code == 422
        code = plivo.sends(number)[-1]["code"]
        assert client.post(f"{url}/phone/{number}/code", json={"code": code}).json()["state"] == "verified"
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
told = {"sign-up": client.post("/sign-up", {"username": "ada", "password": "x", "phone": number}).status_code}
for _ in range(600):
    told["state"] = client.get(f"/phone/{number}").json()["state"]
    if told["state"] == "SUCCESS":
        break
    time.sleep(0.05)
told["resend"] = client.post("/phone", {"phone": number, "resend": "yes"}).status_code
told["wrong"] = client.post(f"/phone/{number}/code", {"code": "00000000"}).status_code
code = json.load(urlopen(f"{phones}/{number}"))["inbox"][-1]["code"]
told["right"] = client.post(f"/phone/{number}/code", {"code": code}).json()["state"]
told["invalid"] = client.post("/sign-up", {"username": "bob", "password": "x", "phone": "555-0199"}).status_code
print(json.dumps(told))
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
