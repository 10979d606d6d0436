"""The Django project under uvicorn, as its user runs it. Django ends a view whose browser has gone."""

import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from urllib.parse import urlsplit

import pytest
import requests
from support.harness import PATIENCE_SECONDS, ROOT, Process, eventually, stopped

NUMBER = "+14155550123"
SLOW_SECONDS = 2.0


@pytest.fixture
def served(ringproof, tmp_path, monkeypatch):
    """The project's folder, and its address."""
    monkeypatch.setenv("SECRET_KEY", "a test's")
    project = tmp_path / "django"
    shutil.copytree(ROOT / "examples/django", project, ignore=shutil.ignore_patterns("__pycache__", ".*", "db.sqlite3"))
    subprocess.run([sys.executable, "manage.py", "migrate"], cwd=project, check=True, capture_output=True)
    command = [sys.executable, "-m", "uvicorn", "mysite.asgi:application", "--port", "0"]
    server = Process(command, tmp_path / "log", os.environ, project)
    with stopped(server.until_logged("running on")):
        yield project, re.search(r"http://[\d.:]+", server.log)[0]


def test_a_browser_that_goes_away_while_its_code_is_entered_loses_no_proof(served, ringproof, phones):
    project, url = served
    with requests.Session() as browser:
        browser.trust_env = False
        browser.get(url, timeout=PATIENCE_SECONDS)
        user = {"username": "ada", "password": "a password", "phone": NUMBER}
        token = {"X-CSRFToken": browser.cookies["csrftoken"]}
        assert browser.post(f"{url}/sign-up", user, headers=token, timeout=PATIENCE_SECONDS).status_code == 201
        form = {"code": phones.last_code(NUMBER), "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
        entering = browser.prepare_request(requests.Request("POST", f"{url}/phone/code", data=form))
    ringproof.misfortune("timeout_after", operation="complete", seconds=SLOW_SECONDS)  # so Plivo is asked once more
    where, asked = urlsplit(url), f"{ringproof.sandbox_url}/requests"
    with socket.create_connection((where.hostname, where.port), PATIENCE_SECONDS) as connection:
        head = "".join(f"{name}: {value}\r\n" for name, value in entering.headers.items())
        connection.sendall(f"POST /phone/code HTTP/1.1\r\nHost: {where.netloc}\r\n{head}\r\n{entering.body}".encode())
        eventually(lambda: '"complete"' in requests.get(asked, timeout=PATIENCE_SECONDS).text)

    with closing(sqlite3.connect(project / "db.sqlite3")) as database:
        proof = "SELECT verified_at FROM accounts_phone WHERE verified_at IS NOT NULL"
        eventually(lambda: database.execute(proof).fetchall(), within=20, why="the proof was lost")
