"""The codes that were sent in the eager mode, and what a test does with that mode beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol, overload

from ringproof import runtime
from ringproof.errors import InvalidRequest
from ringproof.phone.masking import mask
from ringproof.phone.number import parse


class Source(Protocol):
    """The world whose codes they are."""

    def codes(self) -> list["SentCode"]:
        """Return the codes that were sent, the oldest first."""

    def misfortune(self, wanted: Mapping[str, Any]) -> None:
        """Have a misfortune happen to the next request to Plivo."""

    def settle(self) -> None:
        """Do all that is to be done now."""

    def travel(self, seconds: float) -> None:
        """Move the time ahead."""


@dataclass(frozen=True, slots=True)
class SentCode:
    """A code that a phone has got. `at` is in UTC. It prints without the code, and with the number masked."""

    phone_number: str = field(repr=False)
    code: str = field(repr=False)
    channel: str
    alias: str | None = field(repr=False)
    subaccount: str | None
    verification_uuid: str
    at: datetime

    def __str__(self) -> str:
        return f"{mask(self.phone_number)} {self.channel}"


class Sent(Sequence[SentCode]):
    """The codes that were sent since this world began, the oldest first.

    with eager() as sent:
        initiate_verification.delay("+14155550123")
        assert sent[-1].phone_number == "+14155550123"
        confirm_verification.delay("+14155550123", sent[-1].code).get()
    """

    def __init__(self, world: Source) -> None:
        self._world = world

    @overload
    def __getitem__(self, place: int) -> SentCode: ...
    @overload
    def __getitem__(self, place: slice) -> list[SentCode]: ...
    def __getitem__(self, place: int | slice) -> SentCode | list[SentCode]:
        """Return a code by its place in the order of sending."""
        return self._codes()[place]

    def __len__(self) -> int:
        return len(self._codes())

    def __repr__(self) -> str:
        return f"<Sent: {', '.join(map(str, self._codes()))}>"

    def to(self, number: str) -> list[SentCode]:
        """Return the codes that one phone has got. The number is written as for `.delay`. Raises `InvalidNumber`."""
        e164 = parse(number, runtime.region()).e164
        return [one for one in self._codes() if one.phone_number == e164]

    def misfortune(self, kind: str, **options: Any) -> None:
        """Have a misfortune happen to Plivo's next answer: `sent.misfortune("500_after")`.

        docs/guide/testing.md has all kinds, and the options `times`, `share`, `number`, `seconds`, `operation`.
        Raises `InvalidRequest` for a kind or an option that there is not.
        """
        self._world.misfortune({"kind": kind, **options})

    def settle(self) -> None:
        """Do what is to be done now and no call has done: feed batches, repeat what is due."""
        self._world.settle()

    def travel(self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0) -> None:
        """Move the time of Ringproof and of Plivo ahead: `sent.travel(minutes=16)` has a code expire.

        What is due on the way happens, in its order and at its time. The clock of this process goes on as it was.
        Raises `InvalidRequest` for a time in the past.
        """
        by = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        if by < timedelta(0):
            raise InvalidRequest(
                "travel", str(by), "time goes ahead only; another `with eager()` begins at the present"
            )
        self._world.travel(by.total_seconds())

    def _codes(self) -> list[SentCode]:
        return self._world.codes()
