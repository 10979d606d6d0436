"""A call of a script before it is made: what the ledger does at once, and a program on asyncio awaits."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ScriptCall(Generic[T]):
    """A script of `ringproof/ledger/lua` with its own keys and arguments. `read` makes the result of its answer.

    ledger.do(ledger.accepting("+14155550123", token="order 17"))
    """

    name: str
    keys: Sequence[str] = field(repr=False)
    args: Sequence[Any] = field(repr=False)
    read: Callable[[Any], T] = field(repr=False)
