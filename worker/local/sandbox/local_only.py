"""Keep web pages out of the sandbox: a browser on this machine reaches its port, whatever site it shows."""

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from ringproof.network.this_machine import is_this_machine


class LocalOnly:
    """Refuses a request for another host's name, and one that a page of another site has made.

    A site can give its own name the address 127.0.0.1 (DNS rebinding): then the Host is that name. A page can also post
    a form to another site: then the browser says so in Origin.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it with 403."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            origin = headers.get("origin")
            if not is_here(f"//{headers.get('host', '')}") or (origin is not None and not is_here(origin)):
                refusal = "the sandbox answers programs on this machine only: use the host 127.0.0.1, without an Origin"
                await JSONResponse({"error": refusal}, 403)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def is_here(url: str) -> bool:
    """Whether a URL names this machine.

    >>> is_here("//127.0.0.1:8077"), is_here("http://127.0.0.1.evil.example"), is_here("null")
    (True, False, False)
    """
    try:
        return is_this_machine(urlsplit(url).hostname)
    except ValueError:
        return False
