"""The stream of events: what happens, as it happens, and nothing missed by a client that comes again."""

import asyncio
import json
from itertools import islice

import pytest
from anyio import CapacityLimiter, WouldBlock
from support.api import Api
from support.harness import fresh_number

from ringproof.ledger.credentials import Scope, issue, revoke
from worker.web.event_stream import EventStream

pytestmark = pytest.mark.usefixtures("worker")


class Events:
    """A client of the stream, which reads one event at a time."""

    def __init__(self, api, after=None):
        headers = {"Last-Event-ID": after} if after else {}
        self.answer = api.get("/events", headers=headers, stream=True)
        self._lines = self.answer.iter_lines(decode_unicode=True)

    def until(self, number, kind):
        """Read on to this number's event of this kind; return its id, and its data."""
        while True:
            event = dict(line.split(": ", 1) for line in iter(lambda: next(self._lines), ""))
            data = json.loads(event.get("data", "{}"))
            if event.get("event") == kind and data["data"]["phone_number"] == number:
                return event["id"], data

    def until_alive(self):
        """Read to the first sign of life: events from now on will come."""
        while not next(self._lines).startswith(":"):
            pass
        next(self._lines)
        return self

    def lines(self, most):
        """The next lines, fewer if the stream ends. A sign of life has two."""
        return list(islice(self._lines, most))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.answer.close()


def verify(api, plivo, number):
    verification = api.ask_for_code(number)
    api.sent(verification)
    code = plivo.sends(number)[-1]["code"]
    assert api.post(f"/verifications/{verification}/confirm", json={"code": code}).ok


def test_a_program_learns_what_becomes_of_a_number(api, api_with, plivo):
    number = fresh_number()
    with Events(api_with()) as events:
        events.until_alive()
        verify(api, plivo, number)
        _, sent = events.until(number, "verification.code_sent")
        _, verified = events.until(number, "verification.verified")

    assert events.answer.headers["Content-Type"].startswith("text/event-stream")
    assert (sent["type"], sent["data"]["state"]) == ("verification.code_sent", "code_sent")
    assert verified["data"]["is_verified"]


def test_a_client_that_comes_again_misses_nothing(api, api_with, plivo):
    first, second = fresh_number(), fresh_number()
    with Events(api_with()) as events:
        events.until_alive()
        verify(api, plivo, first)
        last, _ = events.until(first, "verification.code_sent")
    verify(api, plivo, second)

    with Events(api_with(), after=last) as events:
        assert events.until(first, "verification.verified")
        assert events.until(second, "verification.verified")


def test_a_stream_ends_when_its_credential_is_revoked(door, ledger):
    reader = issue(ledger, "reader to be revoked", [Scope.READ])
    with Api(door.url, reader.token) as api, Events(api) as events:
        events.until_alive()
        revoke(ledger, reader.credential.name)
        lines = events.lines(10)

    assert len(lines) < 10


def test_streams_are_bounded_and_an_ended_one_leaves_its_place():
    async def nothing():
        yield ""

    async def ignore(message):
        pass

    async def live():
        places = CapacityLimiter(1)
        stream = EventStream(nothing(), places)
        with pytest.raises(WouldBlock):
            EventStream(nothing(), places)
        await stream({"type": "http", "asgi": {"spec_version": "2.4"}}, receive=None, send=ignore)
        return places.available_tokens

    assert asyncio.run(live()) == 1
