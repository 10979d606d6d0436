"""Plivo's Verified Caller ID API: its requests, and the meaning of each answer.

The status alone decides what an answer means, never its text: Plivo documents no texts for this resource. "Certainly
sent", "certainly not sent" and "unknown" are three different results: `PlivoClient._refusal` has the table.
"""

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeGuard
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from ringproof.errors import (
    Forbidden,
    InvalidNumber,
    Misconfigured,
    Rejected,
    RingproofError,
    Throttled,
    Unauthorized,
    Unknown,
    Unreachable,
    WrongCode,
)
from ringproof.network.proxy import Proxy
from ringproof.network.this_machine import is_this_machine
from ringproof.phone.masking import mask, mask_value, redact, shorten
from ringproof.plivo.retry_after import http_date, seconds_to_wait
from ringproof.plivo.transport import HTTP_TIMEOUTS, Body, HttpAnswer, HttpTimeouts, HttpTransport
from ringproof.secret_str import SecretStr

LONGEST_RETRY_AFTER_SECONDS = 900.0
"""A quarter of an hour, the lifetime of a code. A longer `Retry-After` counts as this long."""

_ID = re.compile(r"[!-~]{1,64}")  # an id of Plivo's: opaque, but a record's field has room for 64 bytes
_E164 = re.compile(r"\+?([1-9][0-9]{3,19})")  # some plans have short numbers; the callers check numbers exactly
_DIGIT = re.compile(r"\d")
_WHOLE = re.compile(r"[0-9]{1,12}")
_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode  # json.dumps would build one for each
_TEXT_CHARACTERS = 512  # searched for numbers in an error's text; 64 bytes of it are kept


@dataclass(frozen=True, slots=True)
class Sent:
    """Plivo accepted the request: a code is on its way."""

    api_id: str
    verification_uuid: str
    http_status: int


@dataclass(frozen=True, slots=True, repr=False)
class VerifiedNumber:
    """A number whose verification was completed. Its times are aware, and None if Plivo's text is no time."""

    phone_number: str
    alias: str
    country: str
    created_at: datetime | None
    modified_at: datetime | None
    subaccount: str
    verification_uuid: str

    def __repr__(self) -> str:
        number, uuid = mask(self.phone_number), self.verification_uuid
        return f"VerifiedNumber({number}, created_at={self.created_at}, verification_uuid={uuid!r})"


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the verified numbers, newest first.

    `next` is the offset of the next page, or None on the last page. `total` is the count of all numbers, or None if
    Plivo does not say it. `skipped` counts the entries without a number or a uuid.
    """

    objects: tuple[VerifiedNumber, ...]
    next: int | None
    total: int | None
    skipped: int


CONNECTIONS: Final = 100
"""Connections that are kept: more than the threads of one process that ask at once, 64 senders and Celery's own 32."""


class Transport(Protocol):
    """What carries the requests to Plivo: `HttpTransport`, or what tests have in its place."""

    def exchange(
        self,
        method: str,
        path: str = "",
        body: Body | None = None,
        before_first_byte: Callable[[], None] | None = None,
    ) -> HttpAnswer:
        """Send one request, and return its answer, as `HttpTransport.exchange` does."""

    def close(self) -> None:
        """Close the idle connections."""


class PlivoClient:
    """One account's client, for as many threads as the pool has connections; build one per process.

    Every operation calls its `before_first_byte` directly before the first byte is written. If that raises, nothing is
    sent. Besides its own errors, every operation raises `Unauthorized`, `Forbidden`, `Throttled` and `Unreachable`
    (Plivo did nothing), and `Unknown`. The client repeats nothing except connecting, which comes before the first byte.

    It reaches Plivo through `proxy`, if there is one and the base URL is not this machine. It trusts the certificates
    of `ca_bundle`, or without one those that come with requests. With a `transport` it reaches nothing but that.
    """

    def __init__(
        self,
        auth_id: str,
        auth_token: SecretStr,
        base_url: str = "https://api.plivo.com/v1",
        *,
        pool_size: int = CONNECTIONS,
        timeouts: HttpTimeouts = HTTP_TIMEOUTS,
        proxy: Proxy | None = None,
        ca_bundle: str | None = None,
        transport: Transport | None = None,
    ) -> None:
        parts = urlsplit(base_url)
        is_local = is_this_machine(parts.hostname)
        if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and is_local)):
            raise Misconfigured("PLIVO_BASE_URL: https:// only, unless it is this machine")
        self._auth_id, self._auth_token = auth_id, auth_token
        login = base64.b64encode(f"{auth_id}:{auth_token.get_secret_value()}".encode()).decode()
        self._transport: Transport = transport or HttpTransport(
            f"{base_url.rstrip('/')}/Account/{quote(auth_id, safe='')}/VerifiedCallerId/",
            {
                "Authorization": f"Basic {login}",
                "Accept": "application/json",
                "Accept-Encoding": "identity",  # a small body that unpacks to gigabytes stays small
                "User-Agent": f"ringproof/{_version()}",
            },
            pool_size=pool_size,
            timeouts=timeouts,
            proxy=None if is_local else proxy,
            ca_bundle=ca_bundle,
        )

    def initiate(
        self,
        phone_number: str,
        *,
        alias: str | None = None,
        channel: str = "sms",
        subaccount: str | None = None,
        before_first_byte: Callable[[], None] | None = None,
    ) -> Sent:
        """Have a code sent to a number. **It cannot be undone**, and Plivo takes no idempotency key.

        Raises `Rejected` if the request is wrong and stays wrong, and `Unknown` if Plivo may have sent a code.

        >>> client.initiate("+14155550123", alias="Front desk", channel="sms")
        Sent(api_id='…', verification_uuid='…', http_status=201)
        """
        fields = {"phone_number": phone_number, "channel": channel, "alias": alias, "subaccount": subaccount}
        answer = self._transport.exchange("POST", "", _body(fields), before_first_byte)
        if not _is_success(answer):
            raise self._refusal(answer)
        reply = _object(answer)
        api_id, uuid = reply.get("api_id"), reply.get("verification_uuid")
        if not _is_id(uuid):
            raise Unknown(f"{answer.status} without a verification_uuid")
        return Sent(api_id if _is_id(api_id) else "", uuid, answer.status)

    def complete(
        self, verification_uuid: str, otp: SecretStr, *, before_first_byte: Callable[[], None] | None = None
    ) -> VerifiedNumber:
        """Enter the code that a person got. The client does not check its form, and no error and no log shows it.

        Raises `WrongCode` for a 4xx other than 401, 402, 403, 408 and 429: no status shows whether the code was wrong,
        used or too old, or the verification unknown. Raises `Unknown` if Plivo may have taken the code, which is then
        used up: `get` shows it, by the `verification_uuid`.
        """
        path = f"Verification/{quote(verification_uuid, safe='')}/"
        answer = self._transport.exchange("POST", path, _body({"otp": otp.get_secret_value()}), before_first_byte)
        if not _is_success(answer):
            raise self._refusal(answer, otp)
        found = _caller_id(_object(answer))  # it may repeat the code, so that no local keeps it
        if found is None or found.verification_uuid != verification_uuid:
            raise Unknown(f"{answer.status} without a phone_number and this verification_uuid")
        return found

    def get(self, phone_number: str, *, before_first_byte: Callable[[], None] | None = None) -> VerifiedNumber | None:
        """Return a verified number, or None if Plivo does not have it as verified (a pending number is not).

        Raises `InvalidNumber` for a text that is no number, and `Unknown` for an unusable answer. Repeating is safe.
        """
        digits = _digits(phone_number)
        answer = self._transport.exchange("GET", f"{digits}/", before_first_byte=before_first_byte)
        return None if answer.status == 404 else self._about(digits, answer)

    def list(
        self,
        *,
        limit: int = 20,
        offset: int = 0,
        filters: Mapping[str, str] = MappingProxyType({}),
        before_first_byte: Callable[[], None] | None = None,
    ) -> Page:
        """Return a page of the verified numbers, newest first, with at most 20 of them.

        `filters` are Plivo's: `country`, `subaccount` and `alias`. `next` is always greater than `offset`, so that
        walking through the pages ends. Raises `Rejected` for a limit that Plivo does not take, and `Unknown` if the
        answer is no list. Repeating is safe.
        """
        return self._page(limit, offset, filters, before_first_byte)[0]

    def update(
        self,
        phone_number: str,
        *,
        alias: str | None = None,
        subaccount: str | None = None,
        before_first_byte: Callable[[], None] | None = None,
    ) -> VerifiedNumber | None:
        """Give a verified number another alias or subaccount. Return it, or None if Plivo does not have it as verified.

        Raises `InvalidNumber` for a text that is no number, `Rejected` for a value that Plivo does not take, and
        `Unknown` if Plivo may have changed it. Repeating is safe.
        """
        digits, fields = _digits(phone_number), {"alias": alias, "subaccount": subaccount}
        answer = self._transport.exchange("POST", f"{digits}/", _body(fields), before_first_byte)
        return None if answer.status == 404 else self._about(digits, answer)

    def delete(self, phone_number: str, *, before_first_byte: Callable[[], None] | None = None) -> bool:
        """Remove a verified number at Plivo. Return False if Plivo did not have it.

        Raises `InvalidNumber` for a text that is no number, and `Unknown` if Plivo may have removed it. Repeating is
        safe: it returns False if the first request removed the number.
        """
        answer = self._transport.exchange("DELETE", f"{_digits(phone_number)}/", before_first_byte=before_first_byte)
        if answer.status == 404:
            return False
        if not _is_success(answer):
            raise self._refusal(answer)
        reply = _object(answer)
        silent = answer.status == 204 or answer.headers.get("Content-Length") == "0"  # not: it broke off in the head
        if answer.status == 202 or not (silent or (reply and not reply.get("error"))):
            raise Unknown(f"{answer.status} that does not say that it was deleted")
        return True

    def probe(self, *, before_first_byte: Callable[[], None] | None = None) -> datetime | None:
        """Check that Plivo accepts these credentials, with the smallest request there is. Raises like `list`.

        Return what Plivo's clock says, in whole seconds, or None if the answer has no `Date`.
        """
        return self._page(1, 0, {}, before_first_byte)[1]

    def close(self) -> None:
        """Close the idle connections."""
        self._transport.close()

    def _page(
        self, limit: int, offset: int, filters: Mapping[str, str], before_first_byte: Callable[[], None] | None
    ) -> tuple[Page, datetime | None]:
        """Read a page, and when Plivo answered by its own clock."""
        query = urlencode({**filters, "limit": limit, "offset": offset})
        answer = self._transport.exchange("GET", f"?{query}", before_first_byte=before_first_byte)
        if not _is_success(answer):
            raise self._refusal(answer)
        reply = _object(answer)
        meta, listed = reply.get("meta"), reply.get("objects")
        if listed is None and "objects" in reply and meta:
            listed = []  # an empty list, as Go writes it
        if not isinstance(listed, list):
            raise Unknown(f"{answer.status} without objects")
        meta = meta if isinstance(meta, dict) else {}
        numbers = tuple(number for one in listed if isinstance(one, dict) and (number := _caller_id(one)))
        skipped = len(listed) - len(numbers)
        page = Page(numbers, _offset(meta.get("next"), offset), _count(meta.get("total_count")), skipped)
        return page, http_date(answer.headers.get("Date", ""))

    def _about(self, digits: str, answer: HttpAnswer) -> VerifiedNumber:
        """Read an answer that must be about this number."""
        if not _is_success(answer):
            raise self._refusal(answer)
        found = _caller_id(_object(answer))
        if found is None or found.phone_number != f"+{digits}":
            raise Unknown(f"{answer.status} without this phone_number and its verification_uuid")
        return found

    def _refusal(self, answer: HttpAnswer, otp: SecretStr | None = None) -> RingproofError:
        reply = _object(answer)
        detail = self._detail(answer, reply, otp)
        retry_after = seconds_to_wait(answer, LONGEST_RETRY_AFTER_SECONDS)
        match answer.status:
            case 401:
                return Unauthorized(detail)
            case 402 | 403:
                return Forbidden(detail)
            case 429:
                return Throttled(detail, retry_after)
            case 503 if retry_after is not None or _is_plivos(reply):
                return Unreachable(detail, retry_after)
            case status if 400 <= status < 500 and status != 408:
                return Rejected(detail) if otp is None else WrongCode(detail)
            case _:  # 408, 500, 502, 504, a balancer's 503, a redirect: it may have been taken
                return Unknown(detail)

    def _detail(self, answer: HttpAnswer, reply: Mapping[str, Any], otp: SecretStr | None) -> str:
        """The status and Plivo's text, without control characters, numbers and credentials, in 64 bytes.

        With an `otp` no digit is left: Plivo may repeat it in parts, or as a number without its leading zeros.
        """
        text = " ".join(_error_text(reply.get("error")).split())
        text = "".join(character for character in text if character.isprintable())[:_TEXT_CHARACTERS]
        code = otp.get_secret_value() if otp else ""
        for ours in (self._auth_token.get_secret_value(), self._auth_id, code):
            text = text.replace(ours, "•••") if ours else text
        return shorten(f"{answer.status} {redact(text) if otp is None else _DIGIT.sub('•', text)}").rstrip()


def _version() -> str:
    try:
        return metadata.version("ringproof")
    except metadata.PackageNotFoundError:
        return "0"  # run from a checkout


def _body(fields: Mapping[str, str | None]) -> Body:
    """Write the fields as JSON, without those that are None."""
    given = {name: value for name, value in fields.items() if value is not None}
    return Body(_to_json(given).encode("utf-8", "replace"))


def _is_success(answer: HttpAnswer) -> bool:
    return 200 <= answer.status < 300


def _is_id(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def _is_plivos(reply: Mapping[str, Any]) -> bool:
    """Return whether an error is Plivo's own. Many errors of a load balancer have `error`, but none has `api_id`."""
    return _is_id(reply.get("api_id"))


def _object(answer: HttpAnswer) -> dict[str, Any]:
    """Return the body as a JSON object, or an empty one if it is anything else."""
    try:
        reply = json.loads(answer.body or b"null")
    except (ValueError, RecursionError):  # [[[[[… a thousand deep
        return {}
    return reply if isinstance(reply, dict) else {}


def _error_text(error: object) -> str:
    if isinstance(error, dict):
        error = next((value for value in error.values() if isinstance(value, str)), error)
    if error is None or isinstance(error, str):
        return error or ""
    try:
        return _to_json(error)
    except RecursionError:
        return ""


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _digits(phone_number: str) -> str:
    """Return the number as Plivo writes it in links. Any other text could be the path of another resource."""
    match = _E164.fullmatch(phone_number)
    if match is None:
        raise InvalidNumber("not_a_number", mask_value(phone_number))
    return match[1]


def _caller_id(reply: Mapping[str, Any]) -> VerifiedNumber | None:
    """Read one verified number of Plivo's; None without a number or a uuid."""
    number, uuid = reply.get("phone_number"), reply.get("verification_uuid")
    match = _E164.fullmatch(str(number)) if isinstance(number, str | int) else None
    if match is None or not _is_id(uuid):
        return None
    return VerifiedNumber(
        phone_number=f"+{match[1]}",
        alias=_text(reply.get("alias")),
        country=_text(reply.get("country")),
        created_at=_time(reply.get("created_at")),
        modified_at=_time(reply.get("modified_at")),
        subaccount=_text(reply.get("subaccount")),
        verification_uuid=uuid,
    )


def _offset(link: object, beyond: int) -> int | None:
    """Return the offset in a link if it is beyond this one. The client uses no other part of the link."""
    try:
        named = parse_qs(urlsplit(_text(link)).query).get("offset", [""])[-1]
    except ValueError:  # http://[
        return None
    return int(named) if _WHOLE.fullmatch(named) and int(named) > beyond else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _time(value: object) -> datetime | None:
    """Read a time in RFC 3339 with any number of decimals; those after microseconds are dropped."""
    try:
        time = datetime.fromisoformat(_text(value))
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
