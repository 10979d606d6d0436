"""The ways in which the sandbox can fail, and how a test arms them: `POST /sandbox/misfortunes`.

Each kind either does the requested operation or not: for an initiate, it sends the code or not. If a status alone does
not show which, there are two kinds, `…_before` and `…_after` the operation. The sandbox's ledger has each code sent.

| kind | what the client gets |
|---|---|
| **not done** | |
| `400` `401` `402` `403` | Plivo's JSON error |
| `429` `429_seconds` `429_date` `429_junk` | the same; `Retry-After` none, `seconds` (5), a date so far ahead, "soon" |
| `500_before` | Plivo's JSON error |
| `502_before` `504_before` | a balancer's HTML |
| `503` `503_bare` `503_retry_after` | Plivo's JSON error; a balancer's HTML; HTML and `Retry-After: seconds` (5) |
| `timeout_before` | no answer for `seconds` (60), and then the end of the connection |
| `reset_before` | a RST instead of the head |
| `redirect` | 307 to `/v1/elsewhere`; a client that follows gets 404, and `/sandbox/requests` shows it |
| **done** | |
| `500_after` `502_after` `503_bare_after` `504_after` `timeout_after` `reset_after` | as above |
| `reset_in_body` | the head of the success, and then a RST |
| `closed_idle` | the success, and directly after it a FIN on the connection that should stay open |
| `empty` `html` `truncated` `without_uuid` | the success with no body, HTML, half of the JSON, no verification_uuid |
| `async` | 202 and "async api spawned" |
| `error_in_200` | 200 and Plivo's JSON error |
| `trickle` | the head of the success, and then its body, one byte every `seconds` (1), for minutes |
| `flood` | 100 MB of white space and then the success, as a stream; the whole is valid JSON |
| **neither** | |
| `refused` | a refused connection, on every route, for `seconds` (5) from the moment of arming |

A misfortune changes a refusal as it changes a success: with `500_after`, a number that does not exist gives 500 in
place of 404. A list `without_uuid` has none in its objects. A delete's success has no body; if the kind adds one, its
status is 200.

For example, the next initiate sends its code and gets no answer, and a third of all completions fail:

    POST /sandbox/misfortunes
    {"misfortunes": [{"kind": "timeout_after"}, {"kind": "500_before", "operation": "complete", "share": 0.33}]}
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
    """The kinds of misfortune; the table in the module's docstring explains each one."""

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
        MisfortuneKind.TRICKLE: 1.0,  # less than any client waits for the next byte; the whole body takes three minutes
        MisfortuneKind.REFUSED: 5.0,  # no client can end it, because the sandbox's own routes refuse connections, too
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
    """One armed misfortune: it happens to the next `times` requests for `operation` (of `number`, if given), then ends.

    With a `share`, from 0 to 1, chance decides for each such request. A share without `times` lasts until it is
    cleared, so that a share of 1 happens to every request. With neither, the misfortune happens once.

    Without an `operation` it happens to initiates. But 401, 402 and 403 with neither operation nor number concern the
    account: they happen to every operation, GET included. A completion's number is that of its verification; a list has
    none.

    If several are armed, each request tries them in the order of their arming, and gets the first that happens. So a
    share is a share of the requests that the earlier ones have left: two of 0.5 happen to a half and a quarter. `times`
    counts the requests to which the misfortune happened, and no others.

    `seconds` is the time without an answer or without a listener, the value of `Retry-After` (rounded up to whole
    seconds), or the time from byte to byte. Kinds that need no time have None.
    """

    kind: MisfortuneKind
    times: int | None = None
    share: float | None = None
    number: str | None = None
    seconds: float | None = None
    operation: str | None = None

    @classmethod
    def from_json(cls, description: Mapping[str, Any]) -> Self:
        """Return the misfortune that a JSON object describes. Raises `InvalidRequest`, which names the wrong field."""
        try:
            kind = MisfortuneKind(description.get("kind", ""))
        except ValueError:
            raise InvalidRequest("kind", repr(description.get("kind")), f"one of {', '.join(MisfortuneKind)}") from None
        takes = {"kind"} | ({"seconds"} if kind in DEFAULT_SECONDS else set())
        if kind is not MisfortuneKind.REFUSED:  # a refused connection has no number and no operation
            takes |= {"times", "share", "operation"} | ({"number"} if description.get("operation") != "list" else set())
        for name in description.keys() - takes:
            described = f"{kind} of a list" if description.get("operation") == "list" else kind
            raise InvalidRequest(name, repr(description[name]), f"{described} takes {', '.join(sorted(takes))}")
        for name, (is_allowed, remedy) in _RULES.items():
            if name in description and not is_allowed(description[name]):
                raise InvalidRequest(name, repr(description[name]), remedy)
        number = description.get("number")
        return cls(
            kind=kind,
            times=description.get("times", None if "share" in description else 1),
            share=description.get("share"),
            number=None if number is None else number_field("number", number),
            seconds=description.get("seconds", DEFAULT_SECONDS.get(kind)),
            operation=description.get("operation"),
        )

    def happens_to(self, operation: str, number: str | None) -> bool:
        """Whether it happens to this operation on this number (None: on none). A share is left to chance each time."""
        if self.operation is None and self.number is None and self.kind in ABOUT_THE_ACCOUNT:
            matches = True
        else:
            matches = operation == (self.operation or "initiate") and self.number in (None, number)
        return matches and (self.share is None or random.random() < self.share)

    def as_json(self) -> dict[str, Any]:
        """Return its remaining part as a JSON object that can be armed again."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def read_misfortunes(description: Mapping[str, Any]) -> list[Misfortune]:
    """Read one misfortune, or several at once as `{"misfortunes": […]}`, the form in which GET shows them.

        >>> [misfortune.as_json() for misfortune in read_misfortunes({"kind": "trickle", "times": 2})]
        [{'kind': <MisfortuneKind.TRICKLE: 'trickle'>, 'times': 2, 'seconds': 1.0}]

    Raises `InvalidRequest`, which names the first wrong field.
    """
    if "misfortunes" not in description:
        return [Misfortune.from_json(description)]
    members = description["misfortunes"]
    if len(description) > 1 or not isinstance(members, list) or not all(isinstance(member, dict) for member in members):
        raise InvalidRequest("misfortunes", repr(members), "alone, and a list of objects with a kind each")
    return [_member(place, member) for place, member in enumerate(members)]


def _member(place: int, description: Mapping[str, Any]) -> Misfortune:
    try:
        return Misfortune.from_json(description)
    except InvalidRequest as error:
        raise InvalidRequest(f"misfortunes[{place}].{error.field}", error.value, error.remedy) from error
