"""Numbers that always fail in one way, for a test or a form that has no other means to arm a misfortune.

They are +1 202 555 01xx: North America keeps 555-0100 to 555-0199 free for stories, so none of them is anybody's, and
`initiate_verification` takes them as it takes any number of the United States. (Twilio's own test numbers, +1 500 555
00xx, are personal numbers: Ringproof sends to those only if RINGPROOF_COUNTRIES names `personal`.)

A number that ends in 01 to 33 fails when its code is asked for. The number that is 50 higher gets its code, and fails
when the code is entered. A misfortune that was armed happens first.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from worker.local.sandbox.misfortunes import DEFAULT_SECONDS, Misfortune, MisfortuneKind

FIRST: Final = 1_202_555_0100
"""The number before the first magic one, without its plus. It is an ordinary number."""

LATER: Final = 50
"""How much higher the number is that fails when its code is entered."""

_PLACES: Final[tuple[MisfortuneKind, ...]] = (
    MisfortuneKind.REJECTED,
    MisfortuneKind.UNAUTHORIZED,
    MisfortuneKind.OUT_OF_CREDIT,
    MisfortuneKind.FORBIDDEN,
    MisfortuneKind.THROTTLED,
    MisfortuneKind.THROTTLED_SECONDS,
    MisfortuneKind.THROTTLED_DATE,
    MisfortuneKind.THROTTLED_JUNK,
    MisfortuneKind.FAILS_BEFORE,
    MisfortuneKind.FAILS_AFTER,
    MisfortuneKind.BAD_GATEWAY_BEFORE,
    MisfortuneKind.BAD_GATEWAY_AFTER,
    MisfortuneKind.UNAVAILABLE,
    MisfortuneKind.UNAVAILABLE_RETRY_AFTER,
    MisfortuneKind.UNAVAILABLE_BARE,
    MisfortuneKind.UNAVAILABLE_BARE_AFTER,
    MisfortuneKind.GATEWAY_TIMEOUT_BEFORE,
    MisfortuneKind.GATEWAY_TIMEOUT_AFTER,
    MisfortuneKind.TIMEOUT_BEFORE,
    MisfortuneKind.TIMEOUT_AFTER,
    MisfortuneKind.RESET_BEFORE,
    MisfortuneKind.RESET_AFTER,
    MisfortuneKind.RESET_IN_BODY,
    MisfortuneKind.CLOSED_IDLE,
    MisfortuneKind.REDIRECT,
    MisfortuneKind.EMPTY,
    MisfortuneKind.HTML,
    MisfortuneKind.TRUNCATED,
    MisfortuneKind.WITHOUT_UUID,
    MisfortuneKind.ASYNC,
    MisfortuneKind.ERROR_IN_200,
    MisfortuneKind.TRICKLE,
    MisfortuneKind.FLOOD,
)
"""The kinds in the order of their numbers, from 01 on. A new kind comes last: the other numbers stay. `refused` has
none, because a connection that is refused has not named a number yet.
"""


class MagicNumber(NamedTuple):
    """A number, the operation that always fails with it, and how."""

    phone_number: str
    operation: str
    kind: MisfortuneKind


def magic_numbers() -> Iterator[MagicNumber]:
    """Yield all magic numbers, in their order."""
    for operation, offset in (("initiate", 0), ("complete", LATER)):
        for place, kind in enumerate(_PLACES, FIRST + offset + 1):
            yield MagicNumber(f"+{place}", operation, kind)


_MISFORTUNES: Final[Mapping[tuple[str, str | None], Misfortune]] = MappingProxyType(
    {
        (magic.operation, magic.phone_number): Misfortune(magic.kind, seconds=DEFAULT_SECONDS.get(magic.kind))
        for magic in magic_numbers()
    }
)


def magic_misfortune(operation: str, number: str | None) -> Misfortune | None:
    """Return what always happens to this operation on this number; None if the number is an ordinary one."""
    return _MISFORTUNES.get((operation, number))
