"""What a caller gets in place of an answer: a problem document (RFC 9457). `ringproof.http_answer` has the statuses.

    {"type": "/docs#coolingdown", "title": "Cooling down",
     "detail": "a code was sent a moment ago; ask for the next one after 15:04:05 UTC", "reason": "cooling_down",
     "remedy": "ask for the next one after 15:04:05 UTC", "until": "2026-11-29T15:04:05Z", "status": 429}

The type leads to the page of the API, which explains each one. No number, code or token is in a problem.
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match

from ringproof import errors
from ringproof.http_answer import RETRY_SECONDS, status_of
from ringproof.phone.masking import redact
from ringproof.printable import printable

MEDIA_TYPE: Final = "application/problem+json"

_IN_OTHER_WORDS: Final[Mapping[type[errors.RingproofError], str]] = MappingProxyType(
    {
        errors.LedgerUnavailable: "Redis did not answer, or refused the change; it is safe to ask again",
        errors.TooFewReplicas: "too few replicas of Redis confirm the change; it is safe to ask again",
        errors.LedgerDamaged: "what Redis has about this is damaged, so that asking again does not help; say so to the "
        "operator, who finds it in docs/operating/failures.md",
        errors.UnknownAccount: "the account of this credential is not known at this server; say so to its operator",
    }
)
"""For errors whose own text is for operators: it has the address of Redis, or where the accounts are written."""

_NO_JSON: Final = "the body is no JSON; send a JSON object"


class Explanation(BaseModel):
    """Why something did not come about."""

    type: str = Field(description="Where `/docs` explains it; `about:blank` if the status says it all.")
    title: str
    detail: str = Field(description="What happened, and what to do now.")
    reason: str = Field(description="A word for programs, such as `cooling_down` or `no_country`.")
    remedy: str | None = Field(default=None, description="What to do now.")
    until: datetime | None = Field(default=None, description="When this ends; ask again after it.")


class Problem(Explanation):
    """Why there is no answer (RFC 9457)."""

    status: int
    field: str | None = Field(default=None, description="The field of the request that is wrong.")
    tries_left: int | None = Field(default=None, description="How often this code can still be entered.")


_HEADERS: Final[Mapping[int, str]] = MappingProxyType({401: "WWW-Authenticate", 405: "Allow"})


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the problems that an operation may answer, for the OpenAPI document."""
    schema = {"$ref": "#/components/schemas/Problem"}
    documented: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        names = [_HEADERS[status]] if status in _HEADERS else ["Retry-After"] if status in {429, 503} else []
        documented[status] = {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": schema}},
            "headers": {name: {"schema": {"type": "string"}} for name in names},
        }
    return documented


class Refused(Exception):  # it is an answer of this API's own, beside Ringproof's errors
    """An answer that only this API gives: a status, the reason in a word, and a sentence with what to do."""

    def __init__(
        self, status: HTTPStatus, reason: str, detail: str, headers: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        super().__init__(status, reason, detail)
        self.status, self.reason, self.detail, self.headers = status, reason, detail, headers


def explanation_of(error: errors.RingproofError) -> Explanation:
    """Return an error of Ringproof's as callers see it."""
    text = _IN_OTHER_WORDS.get(type(error), error.message)
    name = type(error).__name__
    return Explanation(
        type=f"/docs#{name.lower()}",
        title=title_of(type(error)),
        detail=_shown(text),
        reason=getattr(error, "limit", None) or getattr(error, "reason", None) or _spaced(name).replace(" ", "_"),
        remedy=_remedy(_shown(text)),
        until=getattr(error, "until", None) or getattr(error, "locked_until", None),
    )


def problem_of(error: errors.RingproofError) -> Problem:
    """Return an error of Ringproof's as a problem."""
    return Problem(
        **explanation_of(error).model_dump(),
        status=status_of(error),
        field=getattr(error, "field", None),
        tries_left=getattr(error, "tries_left", None),
    )


def title_of(kind: type[errors.RingproofError]) -> str:
    """Return what a class of errors is called: `Cooling down`."""
    return _spaced(kind.__name__).capitalize()


def respond(problem: Problem, headers: Mapping[str, str] = MappingProxyType({})) -> Response:
    """Return the answer that carries a problem. If asking again can help, `Retry-After` says when."""
    retry_after: dict[str, str] = {}
    if problem.status == HTTPStatus.TOO_MANY_REQUESTS and problem.until:
        seconds = (problem.until - datetime.now(UTC)).total_seconds()
        retry_after = {"Retry-After": str(max(1, math.ceil(seconds)))}
    elif problem.status in {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}:
        retry_after = {"Retry-After": str(RETRY_SECONDS)}
    content = problem.model_dump(mode="json", exclude_none=True)
    return JSONResponse(content, problem.status, retry_after | dict(headers), MEDIA_TYPE)


def respond_refused(refused: Refused) -> Response:
    """Return the answer to what this API itself refuses."""
    return respond(_about(refused.status, refused.reason, refused.detail), refused.headers)


async def on_error(_request: Request, error: Exception) -> Response:
    """Answer an error of Ringproof's."""
    assert isinstance(error, errors.RingproofError)  # noqa: S101  # it is registered for these
    return respond(problem_of(error))


async def on_refused(_request: Request, error: Exception) -> Response:
    """Answer what this API itself refuses."""
    assert isinstance(error, Refused)  # noqa: S101  # it is registered for this
    return respond_refused(error)


async def on_invalid(_request: Request, error: Exception) -> Response:
    """Answer a request that does not have the documented form. What was sent is not repeated: it may be a code."""
    assert isinstance(error, RequestValidationError)  # noqa: S101  # it is registered for this
    first: Mapping[str, Any] = error.errors()[0]
    place = [str(part) for part in first["loc"][1:] if isinstance(part, str)]
    if first["type"] == "json_invalid":
        return respond(_about(HTTPStatus.BAD_REQUEST, "no_json", _NO_JSON))
    what = {"missing": "is missing", "extra_forbidden": "is no field of this request"}
    field = redact(printable(".".join(place)))[:64] or "the body"
    detail = f"{field}: {what.get(first['type'], first['msg'])}; /openapi.json has the fields"
    return respond(_about(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_request", detail, field))


async def on_http_error(request: Request, error: Exception) -> Response:
    """Answer an unknown path, or a method that its path does not have."""
    assert isinstance(error, HTTPException)  # noqa: S101  # it is registered for this
    status = HTTPStatus(error.status_code)
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = ", ".join(sorted(_methods(request)))
        detail = f"this path has no such operation; it has {allowed}"
        return respond(_about(status, "method_not_allowed", detail), {"Allow": allowed})
    if status is HTTPStatus.NOT_FOUND:
        return respond(_about(status, "not_found", "there is nothing here; /docs lists the operations"))
    return respond(_about(status, "no_json", _NO_JSON))  # FastAPI has no other: the body is no UTF-8, or too deep


async def on_crash(_request: Request, _error: Exception) -> Response:
    """Answer an error that nobody foresaw. The server logs it."""
    return respond(_about(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "an error of Ringproof's own; see its logs"))


def _about(status: HTTPStatus, reason: str, detail: str, field: str | None = None) -> Problem:
    return Problem(
        type="about:blank",
        title=status.phrase,
        status=status,
        detail=detail,
        reason=reason,
        remedy=_remedy(detail),
        field=field,
    )


def _remedy(detail: str) -> str | None:
    """Return what a sentence advises: the part after its last semicolon."""
    _, semicolon, remedy = detail.rpartition("; ")
    return remedy if semicolon else None


def _methods(request: Request) -> set[str]:
    """Return the methods of all routes at the request's path: the router itself names those of the first one only."""
    return {
        method
        for route in request.app.state.operations
        if route.matches(request.scope)[0] is not Match.NONE
        for method in getattr(route, "methods", None) or ()
    }


def _spaced(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", " ", name).lower()


def _shown(text: str) -> str:
    """Return a text as an answer may have it: an error masks its numbers, and this is the last safeguard."""
    return redact(printable(text))
