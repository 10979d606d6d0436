"""Celery's own results and signatures of Ringproof, in a `repr`: ids print masked, and arguments not at all.

The id of a result names a phone number. Celery makes some results itself, and programs put results into sets; each of
them would print the number in clear in logs and in crash reports. So does a signature that was made by the task's name.
"""

import re
from functools import wraps
from typing import Any

from celery.canvas import Signature
from celery.result import AsyncResult, GroupResult, ResultSet

from ringproof.phone.masking import mask

_NUMBER = re.compile(r"\+[1-9]\d{1,14}", re.ASCII)
_OURS = frozenset({"initiate_verification", "confirm_verification"})
_SHOWN = ((AsyncResult, "__repr__"), (AsyncResult, "__str__"), (ResultSet, "__repr__"), (GroupResult, "__repr__"))


def mask_results() -> None:
    """Have Celery's results print masked. It changes nothing for an id that names no number, and nothing twice."""
    for kind, name in _SHOWN:
        usual = getattr(kind, name)
        if not hasattr(usual, "__wrapped__"):
            setattr(kind, name, _masked(usual))
    if not hasattr(Signature.reprcall, "__wrapped__"):
        Signature.reprcall = _named(Signature.reprcall)


def _named(usual: Any) -> Any:
    @wraps(usual)
    def shown(self: Any, *args: Any, **kwargs: Any) -> str:
        return f"{self.task}(…)" if self.task in _OURS else usual(self, *args, **kwargs)

    return shown


def _masked(usual: Any) -> Any:
    @wraps(usual)
    def shown(self: Any) -> str:
        return _NUMBER.sub(lambda number: mask(number[0]), usual(self))

    return shown
