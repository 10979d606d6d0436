"""The inbox page at `/`: what each phone has got, newest first, and kept current while it is open.

It shows whole numbers and codes, because that is what it is for: they were sent to nobody. No number is in a URL. The
page is whole without JavaScript; `page/inbox.js` asks for its changing part once a second.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from worker.local.sandbox.state import WRONG_CODES, SandboxState, Send
from worker.plivo_http.page_headers import HEADERS, NOT_STORED

MOST_MESSAGES: Final = 200
"""Messages that the page shows: the newest."""

_FOLDER: Final = Path(__file__).parent / "page"
_FILES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "inbox.css": "text/css; charset=utf-8",
        "inbox.js": "text/javascript; charset=utf-8",
        "icon.svg": "image/svg+xml",
    }
)


@dataclass(frozen=True, slots=True, repr=False)
class Message:
    """A text or a call as the page shows it. `state` gives the colour: `live`, `used` or `ended`."""

    sent_at: datetime
    channel: str
    text: str
    code: str
    state: str
    state_text: str


@dataclass(frozen=True, slots=True, repr=False)
class Phone:
    """One phone with its messages, newest first."""

    number: str
    messages: Sequence[Message]


class InboxPage:
    """The page, its changing part, and its files."""

    def __init__(self, state: SandboxState) -> None:
        self._state = state

    def routes(self) -> list[BaseRoute]:
        """Return the routes of the page."""
        return [
            Route("/", self._page),
            Route("/inbox/messages", self._messages),
            Route("/inbox/{name}", _file),
        ]

    async def _page(self, request: Request) -> Response:
        facts = {"root": str(request.base_url).rstrip("/"), "people": self._state.people}
        html = _template("inbox.html").render(**facts, **self._facts())
        return HTMLResponse(html, headers={**HEADERS, **NOT_STORED})

    async def _messages(self, request: Request) -> Response:
        """Answer with the part of the page that changes, or with 304 if the page has it already."""
        html = _template("messages.html").render(root=str(request.base_url).rstrip("/"), **self._facts())
        headers = {
            **HEADERS,
            "Cache-Control": "no-cache",
            "ETag": f'"{blake2b(html.encode(), digest_size=12).hexdigest()}"',
        }
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        return HTMLResponse(html, headers=headers)

    def _facts(self) -> dict[str, Any]:
        sends = self._state.sends
        return {
            "phones": self._phones(),
            "sent": len(sends),
            "not_shown": max(0, len(sends) - MOST_MESSAGES),
            "moved_seconds": round(self._state.clock.offset_seconds),
        }

    def _phones(self) -> list[Phone]:
        """Return the phones of the newest messages, that with the newest one first."""
        by_number: dict[str, list[Message]] = {}
        for send in islice(reversed(self._state.sends), MOST_MESSAGES):
            by_number.setdefault(send.phone_number, []).append(self._message(send))
        return [Phone(number, messages) for number, messages in by_number.items()]

    def _message(self, send: Send) -> Message:
        state, text = self._standing(send)
        return Message(_time(send.at), send.channel, send.text, send.code, state, text)

    def _standing(self, send: Send) -> tuple[str, str]:
        if send.completed:
            return "used", "entered: the number is verified"
        if send.wrong_codes >= WRONG_CODES:
            return "ended", f"ended: {send.wrong_codes} wrong codes were entered"
        wrong = f", {send.wrong_codes} wrong so far" if send.wrong_codes else ""
        if not self._state.is_live(send):
            return "ended", f"ended at {_time(send.ends_at):%H:%M:%S}{wrong}"
        return "live", f"works until {_time(send.ends_at):%H:%M:%S}{wrong}"


async def _file(request: Request) -> Response:
    kind = _FILES.get(request.path_params["name"])
    if kind is None:
        return Response(status_code=404)
    file = _FOLDER / request.path_params["name"]
    return FileResponse(file, media_type=kind, headers={**HEADERS, "Cache-Control": "no-cache"})


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _template(name: str) -> Any:
    return _environment().get_template(name)


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
