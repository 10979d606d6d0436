"""A front door as a process, with the session's Redis, worker and sandbox, and programs that call it."""

import contextlib
import re
import sys

import pytest
import requests
from support.harness import PATIENCE_SECONDS, Process, eventually, stopped

from ringproof import runtime
from ringproof.ledger.credentials import Scope, issue, revoke


class FrontDoor(Process):
    """`ringproof serve` on a free port."""

    def __init__(self, log, environ, cwd):
        super().__init__([sys.executable, "-m", "worker", "serve", "--port", "0"], log, environ, cwd)
        self.until_logged("the front door is at")
        self.url = re.search(r"http://[\d.:]+", self.log)[0]


class Api(requests.Session):
    """A program that calls the API with one credential: `api.post("/verifications", json={…})`."""

    def __init__(self, url, token=None):
        super().__init__()
        self.trust_env = False
        self.url = url
        if token:
            self.headers["Authorization"] = f"Bearer {token.get_secret_value()}"

    def request(self, method, path, *args, **options):
        options.setdefault("timeout", PATIENCE_SECONDS)
        return super().request(method, self.url + path, *args, **options)

    def ask_for_code(self, number, **fields):
        """Have a code sent, and return the id of the request."""
        answer = self.post("/verifications", json={"phone_number": number, **fields})
        assert answer.status_code == 202, answer.text
        return answer.json()["id"]

    def sent(self, verification_id):
        """Wait until a code is sent, and return where the request stands."""
        return self.get(f"/verifications/{verification_id}", params={"wait": 30}).json()


@pytest.fixture(scope="session")
def issued():
    """Return a function that gives the token of a program with these scopes, the same one each time."""
    known = {}

    def token_of(program, scopes):
        if (program, scopes) not in known:
            known[program, scopes] = issue(runtime.ledger(), f"{program} {'+'.join(scopes)}", scopes)
        return known[program, scopes].token

    yield token_of
    for credential, _ in known.values():
        revoke(runtime.ledger(), credential.name)


@pytest.fixture(scope="session")
def front_door(environ, issued, tmp_path_factory):
    issued("program", tuple(Scope))  # without a credential it does not start
    folder = tmp_path_factory.mktemp("front_door")
    unhurried = environ | {"RINGPROOF_DOOR_RATE": "10000/1s"}
    with stopped(FrontDoor(folder / "log", unhurried, folder)) as running:
        yield running


@pytest.fixture
def api_with(issued, front_door):
    """Return a function that opens a client of a program with these scopes, or with all."""
    with contextlib.ExitStack() as opened:

        def open_(*scopes, program="program"):
            api = opened.enter_context(Api(front_door.url, issued(program, scopes or tuple(Scope))))
            eventually(lambda: api.get("/").status_code == 404)  # the process has read the new credential
            return api

        yield open_


@pytest.fixture
def api(api_with):
    """A client that may do everything."""
    return api_with()
