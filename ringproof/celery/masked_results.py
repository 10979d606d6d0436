"""Celery's own results of Ringproof's ids, in a `repr`: `AsyncResult`, `ResultSet` and `GroupResult` print ids masked.

The id of a result names a phone number. Celery makes some results itself, and programs put results into sets; each of
them would print the number in clear in logs and in crash reports.
"""

import re
from functools import wraps
from typing import Any

from celery.result import AsyncResult, GroupResult, ResultSet

from ringproof.phone.masking import mask

_NUMBER = re.compile(r"\+[1-9]\d{1,14}", re.ASCII)
_SHOWN = ((AsyncResult, "__repr__"), (AsyncResult, "__str__"), (ResultSet, "__repr__"), (GroupResult, "__repr__"))


def mask_results() -> None:
    """Have Celery's results print masked. It changes nothing for an id that names no number, and nothing twice."""
    for kind, name in _SHOWN:
        usual = getattr(kind, name)
        if not hasattr(usual, "__wrapped__"):
            setattr(kind, name, _masked(usual))


def _masked(usual: Any) -> Any:
    @wraps(usual)
    def shown(self: Any) -> str:
        return _NUMBER.sub(lambda number: mask(number[0]), usual(self))

    return shown
