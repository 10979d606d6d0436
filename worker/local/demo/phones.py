"""The phones that get the demo's codes: what their people enter goes through `confirm_verification`.

Nothing here waits for a result. A call of `update` enqueues what is due, and a later call collects the result.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from celery.result import AsyncResult

from ringproof.errors import NotConfirmed, NothingPending, Unconfirmed
from ringproof.ledger.record import State
from tasks import confirm_verification

PATIENCE_SECONDS: Final = 10.0
"""A person who has seen no result by then enters the code again: a killed worker does not answer."""


@dataclass(frozen=True, slots=True)
class _EnteredCode:
    """A code on its way to Plivo, and until when its person waits for the result."""

    number: str = field(repr=False)
    code: str = field(repr=False)
    result: AsyncResult
    until: float


class Phones:
    """Enter the codes that the sandbox's people enter, and keep the last result of each number.

    `fetch` gets a path below the sandbox's `/sandbox/` and returns its JSON. `results` has the error that the person
    of each number saw last, or None if the code was right:

        >>> phones.results
        {'+14155550123': None, '+14155550124': WrongCode(...)}
    """

    def __init__(self, fetch: Callable[[str], dict[str, Any]]) -> None:
        self.results: dict[str, NotConfirmed | None] = {}
        self._fetch, self._next_answer, self._still_to_come = fetch, 0, 0
        self._unconfirmed: list[_EnteredCode] = []

    @property
    def is_busy(self) -> bool:
        """Whether, at the last `update`, a person had a code to enter or waited for its result."""
        return bool(self._still_to_come or self._unconfirmed)

    def update(self) -> list[str]:
        """Enqueue what people have entered since the last call; return the numbers that have got a result since.

        Raises the error of a confirmation that failed in any way but `NotConfirmed`.
        """
        entered, self._unconfirmed = self._unconfirmed, []
        finished = [code.number for code in entered if self._collect(code)]
        offered = self._fetch(f"answers?since={self._next_answer}")
        self._next_answer, self._still_to_come = offered["next"], offered["waiting"]
        for answer in offered["answers"]:
            self._enter(answer["phone_number"], answer["code"])
        return finished

    def _enter(self, number: str, code: str) -> None:
        result = confirm_verification.delay(number, code)
        self._unconfirmed.append(_EnteredCode(number, code, result, time.monotonic() + PATIENCE_SECONDS))

    def _collect(self, entered: _EnteredCode) -> bool:
        """Store the result if there is one by now. Enter the code again if nothing shows whether Plivo took it."""
        if not entered.result.ready():
            if time.monotonic() < entered.until:
                self._unconfirmed.append(entered)
            else:
                self._enter(entered.number, entered.code)
            return False
        result = entered.result.result
        if isinstance(result, Unconfirmed):
            self._enter(entered.number, entered.code)
            return False
        if isinstance(result, NothingPending) and result.state == State.VERIFIED:
            result = None  # Plivo had taken the code, and then the worker was killed
        if isinstance(result, Exception) and not isinstance(result, NotConfirmed):
            raise result
        self.results[entered.number] = result if isinstance(result, NotConfirmed) else None
        return True
