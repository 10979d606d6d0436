"""What can be set on the sandbox for every request, and how what is written to its own routes is judged."""

import math
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Any, Self

from ringproof.errors import InvalidRequest

E164 = re.compile(r"\+?([1-9][0-9]{6,14})")  # shaped like a number, as lightly as Plivo's own first look
LONGEST_SECONDS = 3600.0  # a typing error in a switch must not hold a request for a week


def plus_number(text: str) -> str | None:
    """`text` as `+` and 7 to 15 digits, whether or not it came with the plus; None if it is no number."""
    match = E164.fullmatch(text)
    return f"+{match[1]}" if match else None


def number_field(name: str, value: object) -> str:
    """A number that somebody wrote to the sandbox's own routes; InvalidRequest names the field if it is none.

    White space around it is dropped: a bare `+` in a query string arrives as a space.
    """
    number = plus_number(value.strip()) if isinstance(value, str) else None
    if number is None:
        raise InvalidRequest(name, repr(value), "7 to 15 digits, as in +14155550123")
    return number


def is_whole(value: object, low: int, high: int) -> bool:
    """Whether it is an integer (no bool, which JSON tells apart) from low to high."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def is_between(value: Any, low: Any, high: float) -> bool:
    """Whether it is a finite number from low to high."""
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high and math.isfinite(value)
    )


def _is_latency(value: object) -> bool:
    low, high = value if isinstance(value, tuple) and len(value) == 2 else (value, value)
    return is_between(low, 0, LONGEST_SECONDS * 1000) and is_between(high, low, LONGEST_SECONDS * 1000)


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
    }
)


@dataclass(frozen=True, slots=True)
class Switches:
    """How the sandbox answers every request; where Plivo's sources disagree, the first is the default.

    `success_status` is that of an initiate, `delete_status` that of a delete; `latency_ms` is spent before a
    request arrives, as on a network; `limit` per `window_seconds` is the one that Plivo documents. A wrong value
    raises InvalidRequest.
    """

    success_status: int = 201
    delete_status: int = 204
    code_length: int = 4  # by the documentation; most of its samples have six
    latency_ms: float | tuple[float, float] = 0
    limit: int = 300
    window_seconds: float = 5
    retry_after: bool = False  # Plivo does not document the header

    def __post_init__(self) -> None:
        for name, (holds, remedy) in _SWITCH_RULES.items():
            value = getattr(self, name)
            if not holds(value):
                raise InvalidRequest(name, repr(value), remedy)

    def changed(self, changes: Mapping[str, Any]) -> Self:
        """These switches with some of them set as in a JSON object; an unknown name raises InvalidRequest."""
        known = {field.name for field in fields(self)}
        for name in changes.keys() - known:
            raise InvalidRequest(name, repr(changes[name]), f"no such switch; there are {', '.join(sorted(known))}")
        latency = changes.get("latency_ms")
        return replace(self, **{**changes, "latency_ms": tuple(latency)} if isinstance(latency, list) else changes)

    def latency_seconds(self) -> float:
        """How long the next request is on its way; drawn anew for each if a range was given."""
        if isinstance(self.latency_ms, tuple):
            return random.uniform(*self.latency_ms) / 1000
        return self.latency_ms / 1000
