"""The phones that the demo's codes go to: what their people enter goes the way of real codes, and is remembered.

Nobody is waited for: what is due is enqueued, and what came of it is collected by a later look.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from celery.result import AsyncResult

from ringproof.errors import NotConfirmed, Unconfirmed
from tasks import confirm_verification


@dataclass(frozen=True, slots=True)
class _Entered:
    """A code on its way to Plivo."""

    number: str = field(repr=False)
    code: str = field(repr=False)
    result: AsyncResult


class Phones:
    """Enters what people do, by `confirm_verification`; `said` is what each was told last: None, if it was right."""

    def __init__(self, ask: Callable[[str], dict[str, Any]]) -> None:
        self.said: dict[str, NotConfirmed | None] = {}
        self._ask, self._seen, self._to_come = ask, 0, 0
        self._under_way: list[_Entered] = []

    @property
    def busy(self) -> bool:
        """Whether somebody will enter a code, or has and was not told what came of it, as of the last look."""
        return bool(self._to_come or self._under_way)

    def look(self) -> list[str]:
        """Enqueue what people have entered since the last look; return whose answers have come since."""
        before, self._under_way = self._under_way, []
        told = [entered.number for entered in before if self._hear(entered)]
        offered = self._ask(f"answers?since={self._seen}")
        self._seen, self._to_come = offered["next"], offered["waiting"]
        for one in offered["answers"]:
            self._enter(one["phone_number"], one["code"])
        return told

    def _enter(self, number: str, code: str) -> None:
        self._under_way.append(_Entered(number, code, confirm_verification.delay(number, code)))

    def _hear(self, entered: _Entered) -> bool:
        """Take the answer, if there is one by now; who is told to enter it again does."""
        if not entered.result.ready():
            self._under_way.append(entered)
            return False
        answer = entered.result.result
        if isinstance(answer, Unconfirmed):
            self._enter(entered.number, entered.code)
            return False
        if isinstance(answer, Exception) and not isinstance(answer, NotConfirmed):
            raise answer
        self.said[entered.number] = answer if isinstance(answer, NotConfirmed) else None
        return True
