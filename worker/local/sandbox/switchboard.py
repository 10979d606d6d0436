"""What the sandbox says of itself at `GET /sandbox/`: its routes, switches, misfortunes and magic numbers.

Each has a curl line. A person gets plain text, whose lines can be pasted into a shell; a program gets the same as JSON.
"""

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from worker.local.sandbox.magic_numbers import magic_numbers
from worker.local.sandbox.misfortunes import OPERATIONS, MisfortuneKind
from worker.local.sandbox.state import SandboxState
from worker.local.sandbox.switches import Switches

NUMBER: Final = "+14155550123"


class Call(NamedTuple):
    """A request to one of the sandbox's own routes, and what it does. `body` None: it sends none."""

    does: str
    method: str
    path: str
    body: Mapping[str, Any] | None = None

    def curl(self, root: str) -> str:
        """Return the request as a line for a shell."""
        words = ["curl"]
        if self.method not in {"GET", "POST"} or (self.method == "POST" and self.body is None):
            words += ["-X", self.method]
        if self.body is not None:
            words += ["-d", json.dumps(self.body)]
        return shlex.join([*words, root + self.path])


CALLS: Final = (
    Call("lists all of this", "GET", "/sandbox/"),
    Call("the inbox of one phone: its messages, and its live codes", "GET", f"/sandbox/phones/{NUMBER}"),
    Call(
        "every code that it would have sent; ?number= for one phone, ?since= to omit so many", "GET", "/sandbox/sends"
    ),
    Call("the last 100,000 requests to /v1", "GET", "/sandbox/requests"),
    Call("the codes that people enter (--answers), each when its time comes; ?since=", "GET", "/sandbox/answers"),
    Call("shows the switches", "GET", "/sandbox/switches"),
    Call("sets switches", "POST", "/sandbox/switches", {"code_length": 6, "latency_ms": [40, 140]}),
    Call("shows the armed misfortunes", "GET", "/sandbox/misfortunes"),
    Call(
        "the next code is sent, and its answer is lost",
        "POST",
        "/sandbox/misfortunes",
        {"kind": "timeout_after", "times": 1, "operation": "initiate"},
    ),
    Call(
        "a third of all completions fail, until they are cleared",
        "POST",
        "/sandbox/misfortunes",
        {"kind": "500_before", "operation": "complete", "share": 0.33},
    ),
    Call("one number is refused, twice", "POST", "/sandbox/misfortunes", {"kind": "403", "number": NUMBER, "times": 2}),
    Call("clears the misfortunes", "DELETE", "/sandbox/misfortunes"),
    Call("shows the sandbox's clock", "GET", "/sandbox/clock"),
    Call("ends all codes: moves the clock by 15 minutes", "POST", "/sandbox/clock", {"advance_seconds": 900}),
    Call("sets the clock to the real time again", "POST", "/sandbox/clock", {"offset_seconds": 0}),
    Call("starts again from nothing; the switches are as at the start", "POST", "/sandbox/reset"),
    Call("does the same", "DELETE", "/sandbox/sends"),
)
"""A request for each route and method, in the order in which a person may want them."""

SWITCHES: Final[Mapping[str, tuple[str, Any]]] = MappingProxyType(
    {
        "success_status": ("the status of an initiate's success: 200, 201 or 202", 202),
        "delete_status": ("the status of a delete's success: 200 or 204", 200),
        "code_length": ("how many digits a code has: 4 to 8", 6),
        "latency_ms": ("how long a request is on its way, in ms; or [low, high] to draw from", [40, 140]),
        "limit": ("how many requests a window takes; more get 429", 300),
        "window_seconds": ("how long the window of the limit is", 5),
        "retry_after": ("whether a 429 of the limit has Retry-After", True),
        "refused": ("beginnings of numbers that get 403 and no code, as without a geo permission", ["+55", "+1868"]),
        "unknown_tokens": ("tokens that get 401, as after a rotation", ["an-old-token"]),
    }
)
"""What each switch means, and a value to set it to."""


def switch_call(name: str) -> Call:
    """Return a request that sets one switch."""
    means, value = SWITCHES[name]
    return Call(means, "POST", "/sandbox/switches", {name: value})


def described(state: SandboxState, root: str, version: str) -> dict[str, Any]:
    """Return all that the sandbox says of itself, for a program; `root` is its URL as the client wrote it."""
    routes: dict[str, set[str]] = {}
    for call in CALLS:
        routes.setdefault(call.path.replace(NUMBER, "{number}"), set()).add(call.method)
    return {
        "this_is": "Ringproof's sandbox of Plivo's VerifiedCallerId API; it sends no texts and makes no calls",
        "version": version,
        "inbox": f"{root}/",
        "plivo": "/v1/Account/{auth_id}/VerifiedCallerId/",
        "routes": {path: sorted(methods) for path, methods in routes.items()},
        "calls": [{"does": call.does, "curl": call.curl(root)} for call in CALLS],
        "switches": {
            field.name: {
                "means": SWITCHES[field.name][0],
                "is": getattr(state.switches, field.name),
                "curl": switch_call(field.name).curl(root),
            }
            for field in fields(Switches)
        },
        "misfortunes": list(MisfortuneKind),
        "operations": OPERATIONS,
        "magic_numbers": [magic._asdict() for magic in magic_numbers()],
        "people": state.people and asdict(state.people),
    }


def as_text(description: Mapping[str, Any]) -> str:
    """Return what `described` has returned as plain text, for a person at a terminal."""
    return "\n".join(_lines(description)) + "\n"


def _lines(about: Mapping[str, Any]) -> Iterator[str]:
    yield f"{about['this_is']}. Version {about['version']}."
    yield f"The phones' inbox, for a browser: {about['inbox']}"
    yield f"For your client of Plivo: PLIVO_BASE_URL={about['inbox']}v1"
    yield "The same as JSON: ask with Accept: application/json"
    yield from ("", "WHAT THERE IS")
    for call in about["calls"]:
        yield from ("", f"# {call['does']}", call["curl"])
    yield from ("", "", "THE SWITCHES: how it answers every request")
    for name, switch in about["switches"].items():
        yield from ("", f"# {name} (now {json.dumps(switch['is'])}): {switch['means']}", switch["curl"])
    yield from ("", "", "MISFORTUNES: what befalls a request; docs/guide/sandbox.md explains each kind", "")
    kinds = about["misfortunes"]
    yield from (
        f"  {'  '.join(f'{kind:<18}' for kind in kinds[start : start + 5])}".rstrip()
        for start in range(0, len(kinds), 5)
    )
    yield from ("", f"Operations: {', '.join(about['operations'])}. Without one, it befalls an initiate.")
    yield from ("", "", "MAGIC NUMBERS: they always fail, each in one way", "")
    initiates = [magic for magic in about["magic_numbers"] if magic["operation"] == "initiate"]
    completes = [magic for magic in about["magic_numbers"] if magic["operation"] == "complete"]
    yield "  asked for a code   when it is entered"
    for asked, entered in zip(initiates, completes, strict=True):
        yield f"  {asked['phone_number']:<17}  {entered['phone_number']:<17}  {asked['kind']}"
    if about["people"]:
        yield from ("", "", f"PEOPLE: {json.dumps(about['people'])}")
