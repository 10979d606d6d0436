"""Keep web pages out of a server without a lock: a browser on this machine reaches its port, whatever site it shows."""

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from ringproof.network.this_machine import is_this_machine


class LocalOnly:
    """Refuses a request for another host's name, and one that a page of another site has made.

    A site can give its own name the address 127.0.0.1 (DNS rebinding): then the Host is that name. A page can also post
    a form to another site: then the browser says so in Origin.

    A page of this machine may be another user's, on another port. A browser lets it post a form or plain text at once,
    but it asks the server before it sends JSON, and gets no leave. So a browser's POST must be JSON. Programs may send
    what they like, as curl does with -d, and Plivo's SDKs without a body: they send none of a browser's headers. Paths
    that begin with `forms_under` may be sent forms, because they know by a token of their own who has made each.
    """

    def __init__(self, app: ASGIApp, forms_under: str | None = None) -> None:
        self._app, self._forms_under = app, forms_under

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it with 403 or 415."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if not is_here(f"//{headers.get('host', '')}") or not is_here(headers.get("origin", "//localhost")):
            refusal = "this server answers programs on this machine only: use the host 127.0.0.1, without an Origin"
            await JSONResponse({"error": refusal}, 403)(scope, receive, send)
            return
        takes_forms = self._forms_under is not None and scope["path"].startswith(self._forms_under)
        if scope["method"] == "POST" and not takes_forms and _is_browsers(headers) and not _is_json(headers):
            await JSONResponse({"error": "a page's POST must be application/json"}, 415)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _is_browsers(headers: Headers) -> bool:
    return any(name == "origin" or name.startswith("sec-fetch-") for name in headers)


def _is_json(headers: Headers) -> bool:
    return headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"


def is_here(url: str) -> bool:
    """Whether a URL names this machine, and nothing beside it: no user, and no path.

    >>> is_here("//127.0.0.1:8077"), is_here("http://127.0.0.1.evil.example"), is_here("null")
    (True, False, False)
    >>> is_here("//evil.example@127.0.0.1"), is_here("//127.0.0.1/evil.example")
    (False, False)
    """
    try:
        parts = urlsplit(url)
        is_a_host_alone = url.endswith(f"//{parts.netloc}") and "@" not in parts.netloc
        return is_a_host_alone and is_this_machine(parts.hostname)
    except ValueError:
        return False
