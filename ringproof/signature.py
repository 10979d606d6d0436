"""Signatures for the calls of programs: type checkers, editors and `help` read them, and Ringproof checks the values.

A call with wrong arguments gets an error of Ringproof's, which masks them. Python's own TypeError would not.
"""

import inspect
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Returned = TypeVar("Returned")


def takes(
    arguments: Callable[Arguments, None],
) -> Callable[[Callable[..., Returned]], Callable[Concatenate[Any, Arguments], Returned]]:
    """Give a method the signature of `arguments`. At run time the method takes any, and checks them itself.

    @takes(arguments)
    def delay(self, *args, **kwargs): ...
    """

    def declared(method: Callable[..., Returned]) -> Callable[Concatenate[Any, Arguments], Returned]:
        named = inspect.signature(arguments)
        itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
        returned = inspect.signature(method).return_annotation
        method.__signature__ = named.replace(  # type: ignore[attr-defined]  # where `inspect.signature` looks
            parameters=[itself, *named.parameters.values()], return_annotation=returned
        )
        return method

    return declared


def by_place(arguments: Callable[..., None]) -> inspect.Signature:
    """Return the signature of `arguments`, without types, for values that come by their names or by their places.

    >>> def arguments(phone_number: str, *, alias: str | None = None) -> None: ...
    >>> by_place(arguments)
    <Signature (phone_number, alias=None)>
    """
    named = inspect.signature(arguments).parameters.values()
    plain = [inspect.Parameter(one.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=one.default) for one in named]
    return inspect.Signature(plain)
