"""A request to Plivo's VerifiedCallerId resource, as each of Plivo's clients writes it.

Seven SDKs and curl write it in their own ways: with and without the last slash; a number as `+1…`, `%2B1…` or `1…`;
null, "" or 0 for a field that is left out; unknown fields; a channel in capitals; any Content-Type; a body with GET and
DELETE, which nobody reads.
"""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Self
from urllib.parse import parse_qs

from starlette.types import Scope

from ringproof.secret_str import SecretStr
from worker.plivo_http.answers import RefusalError

AUTH_ID: Final = re.compile(r"(MA|SA)[A-Za-z0-9]{18}")
E164: Final = re.compile(r"\+?([1-9][0-9]{6,14})")  # the shape alone, as in Plivo's own first check

_LEFT_OUT: Final = ("", "0", "null")

_CHARSET: Final = re.compile(rb'charset="?(iso-8859-1|latin-?1|windows-1252)\b', re.IGNORECASE)
"""The charsets other than Unicode's that a client may name. JSON is written in none of them, but some programs do."""

_COLLECTION: Final = MappingProxyType({"POST": "initiate", "GET": "list"})
_VERIFICATION: Final = MappingProxyType({"POST": "complete"})
_NUMBER: Final = MappingProxyType({"GET": "get", "POST": "update", "DELETE": "delete"})
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, repr=False)
class PlivoRequest:
    """One request, split into its parts. `operations` are those of its path, by method; none for an unknown path.

    `name` is the last part of the path: a number or a uuid, or "" for the collection.
    """

    method: str
    auth_id: str
    name: str
    operations: Mapping[str, str]
    operation: str | None
    authorization: bytes
    user_agent: str
    query_string: bytes
    content_type: bytes
    body: bytes

    @classmethod
    def read(cls, scope: Scope, body: bytes = b"") -> Self:
        """Parse an ASGI request; a slash at the end of the path makes no difference."""
        match scope["path"].removesuffix("/").split("/"):
            case ["", "v1", "Account", auth_id, "VerifiedCallerId", *tail]:
                operations = _operations(tail)
            case _:
                auth_id, tail, operations = "", [], _NOTHING
        headers = dict(scope["headers"])
        return cls(
            method=scope["method"],
            auth_id=auth_id,
            name=tail[-1] if tail else "",
            operations=operations,
            operation=operations.get(scope["method"]),
            authorization=headers.get(b"authorization", b""),
            user_agent=headers.get(b"user-agent", b"").decode("latin-1"),
            query_string=scope["query_string"],
            content_type=headers.get(b"content-type", b""),
            body=body,
        )

    @property
    def token(self) -> SecretStr | None:
        """The token that came with the path's auth id; None if there is none, or another auth id came."""
        presented = _user_and_token(self.authorization)
        return presented[1] if presented and presented[0] == self.auth_id else None

    @property
    def fields(self) -> Mapping[str, Any]:
        """The object in the body. Raises `RefusalError` if there is none."""
        try:
            parsed = self._parse()
        except (ValueError, RecursionError):
            raise RefusalError(400, "the body is not valid JSON") from None
        if not isinstance(parsed, dict):
            raise RefusalError(400, "the body is not a JSON object")
        return parsed

    def _parse(self) -> Any:
        """Parse the body as JSON: in Unicode, whatever its Content-Type says, or else in the charset that it names."""
        try:
            return json.loads(self.body)
        except UnicodeDecodeError:
            charset = _CHARSET.search(self.content_type)
            if charset is None:
                raise
            return json.loads(self.body.decode(charset[1].decode()))

    @property
    def query(self) -> Mapping[str, str]:
        """The parameters that are not left out; of one that comes twice, the last."""
        parameters = parse_qs(self.query_string.decode("latin-1"))
        query = {name: values[-1] for name, values in parameters.items()}
        query = {name: value for name, value in query.items() if value not in _LEFT_OUT}
        if "sub_account" in query:
            query.setdefault("subaccount", query["sub_account"])
        return query


def plus_number(text: str) -> str | None:
    """Return `text` as `+` and 7 to 15 digits, whether it has the plus or not; None if it is no number."""
    match = E164.fullmatch(text)
    return f"+{match[1]}" if match else None


def optional_text(fields: Mapping[str, Any], name: str) -> str:
    """Return an optional field; "" for null, "" or 0, which some SDKs send for a field that was left out."""
    value = fields.get(name)
    if not value:
        return ""
    if not isinstance(value, str):
        raise RefusalError(400, f"{name} must be a string")
    return value


def subaccount_in(fields: Mapping[str, Any]) -> str:
    """Return the subaccount, also under the name that the sample of Node's SDK sends."""
    nodes = fields.get("sub_account")
    return optional_text(fields, "subaccount") or (nodes if isinstance(nodes, str) else "")


def whole_in(query: Mapping[str, str], name: str, highest: int) -> int:
    """Return a whole number from the query; 0 if it is left out."""
    text = query.get(name, "0")
    value = int(text) if re.fullmatch("[0-9]{1,10}", text) else None
    if value is None or value > highest:
        raise RefusalError(400, f"{name} must be a whole number up to {highest}")
    return value


def _operations(tail: list[str]) -> Mapping[str, str]:
    """Return the operations of a path by their methods; none if there is no such path."""
    match tail:
        case []:
            return _COLLECTION
        case ["Verification", _]:
            return _VERIFICATION
        case [_]:
            return _NUMBER
        case _:
            return _NOTHING


def _user_and_token(authorization: bytes) -> tuple[str, SecretStr] | None:
    scheme, _, encoded = authorization.partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        user, colon, token = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except ValueError:
        return None
    return (user, SecretStr(token)) if colon else None
