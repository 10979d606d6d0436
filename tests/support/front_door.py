"""`ringproof serve` for tests: a real process, and a credential for it."""

import contextlib
import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import plivo
import requests
from plivo.rest import client as plivo_client
from support.harness import PATIENCE_SECONDS, Process

from ringproof.ledger.credentials import Issued

T = TypeVar("T")

CONSTANTS = ("PLIVO_API_BASE_URI", "API_VOICE_BASE_URI", *(f"API_VOICE_BASE_URI_FALLBACK_{n}" for n in (1, 2)))
"""What a program sets to have Plivo's Python SDK call another host."""


class Caller:
    """A plain client of a door at `url`, with a credential."""

    def __init__(self, url: str, issued: Issued) -> None:
        self.url = url
        self.auth_id, self.token = issued.credential.auth_id, issued.token.get_secret_value()
        self.resource = f"{url}/v1/Account/{self.auth_id}/VerifiedCallerId"

    def ask(self, method: str, path: str = "", body: Any = None, **options: Any) -> requests.Response:
        """Send one request: `ask("POST", "/", {"phone_number": …})`."""
        if body is not None:
            options["data"] = json.dumps(body)
        options = {"auth": (self.auth_id, self.token), "timeout": PATIENCE_SECONDS} | options
        with requests.Session() as session:
            session.trust_env = False
            return session.request(method, f"{self.resource}{path}", allow_redirects=False, **options)

    def initiate(self, phone_number: Any, **fields: Any) -> requests.Response:
        return self.ask("POST", "/", {"phone_number": phone_number, **fields})

    def complete(self, verification_uuid: str, otp: Any) -> requests.Response:
        return self.ask("POST", f"/Verification/{verification_uuid}/", {"otp": otp})


class FrontDoor(Process, Caller):
    """A running front door, and a client of it."""

    def __init__(
        self, log: Path, environ: Mapping[str, str], cwd: Path, issued: Issued, *options: str, port: int = 0
    ) -> None:
        command = [sys.executable, "-m", "worker", "serve", "--port", str(port), *options]
        Process.__init__(self, command, log, environ, cwd)
        self.until_logged("front door is at ")
        Caller.__init__(self, self.log.split("front door is at ")[-1].split()[0].rstrip(","), issued)

    def of(self, issued: Issued) -> Caller:
        """A client of the same door with another credential."""
        return Caller(self.url, issued)


@contextlib.contextmanager
def python_sdk(base_url: str, auth_id: str, token: str) -> Iterator[plivo.RestClient]:
    """Plivo's Python SDK, as a program points it at another host: `base_url` ends with /v1."""
    usual = {name: getattr(plivo_client, name) for name in CONSTANTS}
    for name in CONSTANTS:
        setattr(plivo_client, name, f"{base_url}/Account")
    try:
        yield plivo.RestClient(auth_id, token)
    finally:
        for name, value in usual.items():
            setattr(plivo_client, name, value)


def at_once(count: int, call: Callable[[], T]) -> list[T]:
    """The results of the same call from so many threads, which begin together."""
    together = threading.Barrier(count)

    def begin(_: int) -> T:
        together.wait()
        return call()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(begin, range(count)))


def refusal(answer):
    """The status, the reason, and the seconds of Retry-After; the body is as each client needs it."""
    body = answer.json()
    assert answer.headers["Content-Type"] == "application/json"
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    assert isinstance(body["error"], str)
    assert body["error"]
    assert None not in body.values()
    if "until" in body:
        assert datetime.fromisoformat(body["until"]).tzinfo
    after = answer.headers.get("Retry-After")
    assert after is None or int(after) >= 1
    return answer.status_code, body.get("reason")


def age(ledger, number, seconds):
    """Let a number's last code have been sent so long ago."""
    key = ledger.keys.record(number)
    for field in {"code_sent_at", "live_until", "expires_at"} & set(ledger.client.hkeys(key)):
        ledger.client.hincrby(key, field, -seconds * 1000)
