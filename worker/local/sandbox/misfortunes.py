"""What can befall a request at the sandbox, and how it is armed: `POST /sandbox/misfortunes`.

A kind says whether what was asked for was done: for an initiate, whether the code was sent. Where a status alone
leaves that open there are two kinds, `…_before` and `…_after` it was done; the ledger tells it of each code.

| kind | what the client gets |
|---|---|
| **not done** | |
| `400` `401` `402` `403` | Plivo's JSON error |
| `429` `429_seconds` `429_date` `429_junk` | that; `Retry-After`: none, `seconds` (5), a date so far ahead, "soon" |
| `500_before` | Plivo's JSON error |
| `502_before` `504_before` | a balancer's HTML |
| `503` `503_bare` `503_retry_after` | Plivo's JSON error; a balancer's HTML; that with `Retry-After: seconds` (5) |
| `timeout_before` | nothing for `seconds` (60), and is then cut off |
| `reset_before` | a RST instead of the head |
| `redirect` | 307 to `/v1/elsewhere`: 404, and one more among `/sandbox/requests`, if it is followed |
| **done** | |
| `500_after` `502_after` `503_bare_after` `504_after` `timeout_after` `reset_after` | as above |
| `reset_in_body` | the head of the success, and then a RST |
| `closed_idle` | the success, and directly after it a FIN on the connection that it was to keep |
| `empty` `html` `truncated` `without_uuid` | the success with no body, HTML, half of the JSON, no verification_uuid |
| `async` | 202 and "async api spawned" |
| `error_in_200` | 200 and Plivo's JSON error |
| `trickle` | the head of the success, and then its body, a byte every `seconds` (1): minutes of it |
| `flood` | the success after 100 MB of white space, streamed; all of it is valid JSON |
| **neither** | |
| `refused` | for `seconds` (5) nobody listens, on any route, from the moment it is armed |

What befalls a success befalls a refusal as well: a `500_after` for a number that is not there is a 500 in place of
the 404. A list `without_uuid` has none in its objects. A delete's success has no body; where its kind has one, it is
a 200.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Self

from ringproof.errors import InvalidRequest
from worker.local.sandbox.switches import LONGEST_SECONDS, is_between, is_whole, number_field


class MisfortuneKind(StrEnum):
    """What can befall a request; the module says what each is."""

    REJECTED = "400"
    UNAUTHORIZED = "401"
    OUT_OF_CREDIT = "402"
    FORBIDDEN = "403"
    THROTTLED = "429"
    THROTTLED_SECONDS = "429_seconds"
    THROTTLED_DATE = "429_date"
    THROTTLED_JUNK = "429_junk"
    FAILS_BEFORE = "500_before"
    FAILS_AFTER = "500_after"
    BAD_GATEWAY_BEFORE = "502_before"
    BAD_GATEWAY_AFTER = "502_after"
    UNAVAILABLE = "503"
    UNAVAILABLE_RETRY_AFTER = "503_retry_after"
    UNAVAILABLE_BARE = "503_bare"
    UNAVAILABLE_BARE_AFTER = "503_bare_after"
    GATEWAY_TIMEOUT_BEFORE = "504_before"
    GATEWAY_TIMEOUT_AFTER = "504_after"
    TIMEOUT_BEFORE = "timeout_before"
    TIMEOUT_AFTER = "timeout_after"
    RESET_BEFORE = "reset_before"
    RESET_AFTER = "reset_after"
    RESET_IN_BODY = "reset_in_body"
    CLOSED_IDLE = "closed_idle"
    REDIRECT = "redirect"
    EMPTY = "empty"
    HTML = "html"
    TRUNCATED = "truncated"
    WITHOUT_UUID = "without_uuid"
    ASYNC = "async"
    ERROR_IN_200 = "error_in_200"
    TRICKLE = "trickle"
    FLOOD = "flood"
    REFUSED = "refused"


DEFAULT_SECONDS: Mapping[MisfortuneKind, float] = MappingProxyType(
    {
        MisfortuneKind.THROTTLED_SECONDS: 5.0,  # Plivo's window
        MisfortuneKind.THROTTLED_DATE: 5.0,
        MisfortuneKind.UNAVAILABLE_RETRY_AFTER: 5.0,
        MisfortuneKind.TIMEOUT_AFTER: 60.0,  # past every client's patience
        MisfortuneKind.TIMEOUT_BEFORE: 60.0,
        MisfortuneKind.TRICKLE: 1.0,  # shorter than any client waits for the next byte; all of it lasts three minutes
        MisfortuneKind.REFUSED: 5.0,  # nobody can be told to end it: the sandbox's own routes are away as well
    }
)
ABOUT_THE_ACCOUNT = frozenset({MisfortuneKind.UNAUTHORIZED, MisfortuneKind.OUT_OF_CREDIT, MisfortuneKind.FORBIDDEN})
OPERATIONS = ("initiate", "complete", "get", "list", "update", "delete")

_RULES: Mapping[str, tuple[Callable[[object], bool], str]] = MappingProxyType(
    {
        "times": (
            lambda value: is_whole(value, 1, 1_000_000),
            "a whole number, 1 or more; only a share without times lasts until DELETE",
        ),
        "share": (lambda value: is_between(value, 0, 1), "a share of the requests, from 0 to 1"),
        "seconds": (lambda value: is_between(value, 0, LONGEST_SECONDS), "seconds, up to 3600"),
        "operation": (lambda value: value in OPERATIONS, f"one of {', '.join(OPERATIONS)}"),
    }
)


@dataclass(slots=True)
class Misfortune:
    """One armed misfortune: it befalls the next `times` requests for `operation` (of `number`, if given) and is gone.

    With a `share`, from 0 to 1, it is drawn for each of them whether it befalls that one; a share without
    `times` lasts until it is cleared, so that a share of 1 befalls every one. With neither it befalls one.

    Without an `operation` it befalls initiates. But 401, 402 and 403 with neither that nor a number are about the
    account: they befall every operation, GET included. A completion's number is that of its verification; a list
    has none.

    Where several are armed, each request asks them in the order in which they were armed, and the first that
    befalls it is its only one. Each share is drawn on its own, so that it is one of the requests that those
    before it left: two of 0.5 befall a half and a quarter. `times` counts what was befallen, nothing else.

    `seconds` is how long there is no answer, or nobody listening, or what `Retry-After` says (rounded up to
    whole seconds), or the time from byte to byte; kinds with nothing of this have None.
    """

    kind: MisfortuneKind
    times: int | None = None
    share: float | None = None
    number: str | None = None
    seconds: float | None = None
    operation: str | None = None

    @classmethod
    def from_json(cls, wish: Mapping[str, Any]) -> Self:
        """The misfortune that a JSON object describes; InvalidRequest names the field that cannot be."""
        try:
            kind = MisfortuneKind(wish.get("kind", ""))
        except ValueError:
            raise InvalidRequest("kind", repr(wish.get("kind")), f"one of {', '.join(MisfortuneKind)}") from None
        takes = {"kind"} | ({"seconds"} if kind in DEFAULT_SECONDS else set())
        if kind is not MisfortuneKind.REFUSED:  # whoever connects is not asked for a number, and is not counted
            takes |= {"times", "share", "operation"} | ({"number"} if wish.get("operation") != "list" else set())
        for name in wish.keys() - takes:
            what = f"{kind} of a list" if wish.get("operation") == "list" else kind
            raise InvalidRequest(name, repr(wish[name]), f"{what} takes {', '.join(sorted(takes))}")
        for name, (holds, remedy) in _RULES.items():
            if name in wish and not holds(wish[name]):
                raise InvalidRequest(name, repr(wish[name]), remedy)
        number = wish.get("number")
        return cls(
            kind=kind,
            times=wish.get("times", None if "share" in wish else 1),
            share=wish.get("share"),
            number=None if number is None else number_field("number", number),
            seconds=wish.get("seconds", DEFAULT_SECONDS.get(kind)),
            operation=wish.get("operation"),
        )

    def befalls(self, operation: str, number: str | None) -> bool:
        """Whether this operation is hit, on this number (None: on none); a share is drawn anew."""
        if self.operation is None and self.number is None and self.kind in ABOUT_THE_ACCOUNT:
            fits = True
        else:
            fits = operation == (self.operation or "initiate") and self.number in (None, number)
        return fits and (self.share is None or random.random() < self.share)

    def as_json(self) -> dict[str, Any]:
        """What is left of it, as it could be armed again."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def script(wish: Mapping[str, Any]) -> list[Misfortune]:
    """One misfortune, or several at once as `{"misfortunes": […]}`, which is also how GET shows them.

    InvalidRequest names the first field that cannot be, and none of them is armed.
    """
    if "misfortunes" not in wish:
        return [Misfortune.from_json(wish)]
    members = wish["misfortunes"]
    if len(wish) > 1 or not isinstance(members, list) or not all(isinstance(one, dict) for one in members):
        raise InvalidRequest("misfortunes", repr(members), "alone, and a list of objects with a kind each")
    return [_member(place, one) for place, one in enumerate(members)]


def _member(place: int, wish: Mapping[str, Any]) -> Misfortune:
    try:
        return Misfortune.from_json(wish)
    except InvalidRequest as error:
        raise InvalidRequest(f"misfortunes[{place}].{error.field}", error.value, error.remedy) from error
