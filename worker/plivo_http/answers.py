"""Plivo's answers: an error, a page of a list, and the answer to a deletion."""

import uuid
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlencode

from starlette.responses import JSONResponse, Response

CHALLENGE: Final[Mapping[str, str]] = MappingProxyType({"WWW-Authenticate": 'Basic realm="Plivo"'})
LARGEST_PAGE: Final = 20
LARGEST_OFFSET: Final = 10**9  # beyond every list, but small enough for a slice
FILTERS: Final = ("country", "subaccount", "alias")


class RefusalError(Exception):
    """The operation is refused with `status`, `error` and `headers`. Nothing was sent or changed.

    `facts` are more fields of the answer.
    """

    def __init__(self, status: int, error: str, headers: Mapping[str, str] | None = None, **facts: Any) -> None:
        super().__init__(status, error, headers)
        self.status, self.error, self.headers, self.facts = status, error, headers, facts

    @property
    def answer(self) -> Response:
        """The refusal as Plivo's JSON."""
        return error(self.status, self.error, self.headers, **self.facts)


def api_id() -> str:
    """Return a new id, as each of Plivo's answers has one."""
    return str(uuid.uuid4())


def error(status: int, text: str, headers: Mapping[str, str] | None = None, **facts: Any) -> Response:
    """Return Plivo's JSON error."""
    return JSONResponse({"api_id": api_id(), "error": text, **facts}, status, headers)


def deleted() -> Response:
    """Return the answer to a deletion. Without a type, Ruby's SDK raises NoMethodError."""
    return Response(status_code=204, media_type="application/json")


def page(
    auth_id: str,
    wanted: Mapping[str, str],
    limit: int,
    offset: int,
    total: int,
    entries: Sequence[Mapping[str, Any]],
    *,
    has_more: bool,
) -> Response:
    """Return one page of an account's list. `wanted` are the filters, which the links to other pages repeat."""
    collection = f"/v1/Account/{auth_id}/VerifiedCallerId/"

    def link(first: int) -> str:
        return f"{collection}?{urlencode({**wanted, 'limit': limit, 'offset': first})}"

    meta = {
        "limit": limit,
        "next": link(offset + limit) if has_more else None,
        "offset": offset,
        "previous": link(max(0, offset - limit)) if offset else None,
        "total_count": total,
    }
    objects = [{**entry, "resource_uri": f"{collection}{entry['phone_number'].removeprefix('+')}"} for entry in entries]
    return JSONResponse({"api_id": api_id(), "meta": meta, "objects": objects})
