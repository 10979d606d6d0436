"""The switches that change how the sandbox answers every request, and the checks of values sent to its own routes."""

import math
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Any, Self

from ringproof.errors import InvalidRequest
from worker.plivo_http.request import plus_number

_PREFIX = re.compile(r"\+[1-9][0-9]{0,14}")
LONGEST_SECONDS = 3600.0  # a typing error in a switch must not delay a request for a week


def number_field(name: str, value: object) -> str:
    """Check a number that a request to the sandbox's own routes has, and return it as `plus_number` does.

    White space around it is ignored, because a bare `+` in a query string arrives as a space. Raises `InvalidRequest`,
    which names the field, if it is no number.
    """
    number = plus_number(value.strip()) if isinstance(value, str) else None
    if number is None:
        raise InvalidRequest(name, repr(value), "7 to 15 digits, as in +14155550123")
    return number


def is_whole(value: object, low: int, high: int) -> bool:
    """Whether it is an integer from low to high. A bool is none, as in JSON."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def is_between(value: Any, low: Any, high: float) -> bool:
    """Whether it is a finite number from low to high."""
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high and math.isfinite(value)
    )


def _is_latency(value: object) -> bool:
    low, high = value if isinstance(value, tuple) and len(value) == 2 else (value, value)
    return is_between(low, 0, LONGEST_SECONDS * 1000) and is_between(high, low, LONGEST_SECONDS * 1000)


def _are_tokens(value: object) -> bool:
    return isinstance(value, tuple) and all(isinstance(one, str) and one for one in value)


def _are_prefixes(value: object) -> bool:
    return isinstance(value, tuple) and all(isinstance(one, str) and _PREFIX.fullmatch(one) for one in value)


_SWITCH_RULES: Mapping[str, tuple[Callable[[object], bool], str]] = MappingProxyType(
    {
        "success_status": (lambda value: is_whole(value, 200, 202), "200, 201 or 202"),
        "delete_status": (lambda value: is_whole(value, 200, 204) and value in (200, 204), "200 or 204"),
        "code_length": (lambda value: is_whole(value, 4, 8), "a whole number from 4 to 8"),
        "latency_ms": (_is_latency, "milliseconds, or [low, high] to draw from"),
        "limit": (lambda value: is_whole(value, 1, 1_000_000), "a whole number of requests, 1 or more"),
        "window_seconds": (
            lambda value: is_between(value, 0.001, LONGEST_SECONDS),
            "seconds, from 0.001 to 3600",
        ),
        "retry_after": (lambda value: isinstance(value, bool), "true or false"),
        "unknown_tokens": (_are_tokens, "a list of tokens"),
        "refused": (_are_prefixes, "a list of the beginnings of numbers, such as +55 or +1868"),
    }
)


@dataclass(frozen=True, slots=True)
class Switches:
    """How the sandbox answers every request. Where Plivo's sources disagree, the first is the default.

    `success_status` is the status of an initiate, `delete_status` that of a delete. A request spends `latency_ms` on
    its way in, as on a network. `limit` requests per `window_seconds` is the limit that Plivo documents. Numbers that
    begin with one of `refused` get 403 and no code, as those of a country that Geo Permissions do not allow. A
    request with one of `unknown_tokens` gets 401, as after a rotation of the token.

    A client sets some of them as JSON, and gets all of them as the answer:

        POST /sandbox/switches  {"latency_ms": [40, 140], "code_length": 8}

    Raises `InvalidRequest`, which names the switch, for a wrong value.
    """

    success_status: int = 201
    delete_status: int = 204
    code_length: int = 4  # as the documentation says; most of its samples have six
    latency_ms: float | tuple[float, float] = 0
    limit: int = 300
    window_seconds: float = 5
    retry_after: bool = False  # Plivo does not document the header
    refused: tuple[str, ...] = ()
    unknown_tokens: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, (is_allowed, remedy) in _SWITCH_RULES.items():
            value = getattr(self, name)
            if not is_allowed(value):
                raise InvalidRequest(name, repr(value), remedy)

    def changed(self, changes: Mapping[str, Any]) -> Self:
        """Return a copy with the changes of a JSON object. Raises `InvalidRequest` for a wrong name or value."""
        names = {field.name for field in fields(self)}
        for name in changes.keys() - names:
            raise InvalidRequest(name, repr(changes[name]), f"no such switch; there are {', '.join(sorted(names))}")
        as_tuples: Mapping[str, Any] = {
            name: tuple(value) for name, value in changes.items() if isinstance(value, list)
        }
        return replace(self, **{**changes, **as_tuples})

    def latency_seconds(self) -> float:
        """Return how long the next request is on its way; with a range, a random value of it."""
        if isinstance(self.latency_ms, tuple):
            return random.uniform(*self.latency_ms) / 1000
        return self.latency_ms / 1000
