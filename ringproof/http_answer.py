"""How a web application answers an error of Ringproof's: one table of statuses, which the HTTP API follows, too."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

from ringproof import errors
from ringproof.words import Catalogue, sentence

RETRY_SECONDS: Final = 5
"""When to ask again if nobody knows when Redis, Plivo or a worker will answer."""

STATUSES: Final[Mapping[type[errors.RingproofError], HTTPStatus]] = MappingProxyType(
    {
        errors.UnknownBatch: HTTPStatus.NOT_FOUND,
        errors.UnknownAccount: HTTPStatus.SERVICE_UNAVAILABLE,
        errors.BatchExists: HTTPStatus.CONFLICT,
        errors.BatchBusy: HTTPStatus.CONFLICT,
        errors.InvalidRequest: HTTPStatus.UNPROCESSABLE_ENTITY,
        errors.CoolingDown: HTTPStatus.TOO_MANY_REQUESTS,
        errors.Capped: HTTPStatus.TOO_MANY_REQUESTS,
        errors.Locked: HTTPStatus.TOO_MANY_REQUESTS,
        errors.Unconfirmed: HTTPStatus.SERVICE_UNAVAILABLE,
        errors.NotConfirmed: HTTPStatus.UNPROCESSABLE_ENTITY,
        errors.LedgerUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
        errors.LedgerDamaged: HTTPStatus.INTERNAL_SERVER_ERROR,
    }
)
"""The status of each error that an operation raises; that of a class counts for those below it, too."""

_OF_AN_OUTCOME: Final = (errors.Failed, errors.InDoubt)
"""Errors that tell how a request has ended: no operation raises them, but its result does."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What to answer: a status, a sentence for the end user, and after how many seconds it is of use to ask again."""

    status: int
    sentence: str
    retry_after: int | None

    @property
    def headers(self) -> dict[str, str]:
        """`Retry-After`, if asking again is of use."""
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}


def answer_to(error: BaseException, language: str = "en", catalogue: Catalogue | None = None) -> HttpAnswer:
    """Return how to answer an error of `.delay`, of a result or of a confirmation; it never raises.

        try:
            initiate_verification.delay(number)
        except RingproofError as error:
            answer = answer_to(error)  # HttpAnswer(422, "Please write the phone number with its country code, …", None)

    `language` and `catalogue` are those of `ringproof.words.sentence`. The status is 500 for what no user has caused
    and no wait ends: `Misconfigured`, `LedgerDamaged`, and errors that are not Ringproof's.
    """
    return HttpAnswer(int(status_of(error)), sentence(error, language, catalogue), retry_after(error))


def status_of(error: BaseException) -> HTTPStatus:
    """Return the HTTP status of an error."""
    kinds = type(error).__mro__
    if isinstance(error, _OF_AN_OUTCOME):
        return HTTPStatus.CONFLICT
    if any(kind.__name__ == "TimeoutError" for kind in kinds):  # Celery's, which is not loaded here, and Python's
        return HTTPStatus.SERVICE_UNAVAILABLE
    return next((STATUSES[kind] for kind in kinds if kind in STATUSES), HTTPStatus.INTERNAL_SERVER_ERROR)


def retry_after(error: BaseException) -> int | None:
    """Return after how many seconds it is of use to ask again; None if nothing ends by waiting."""
    status = status_of(error)
    until = getattr(error, "until", None)
    if status is HTTPStatus.TOO_MANY_REQUESTS and isinstance(until, datetime):
        return max(1, math.ceil((until - datetime.now(UTC)).total_seconds()))
    return RETRY_SECONDS if status in {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS} else None
