"""Who may see a page, and who may send a form: each request passes here before anything of it is read."""

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from ringproof import errors
from ringproof.ledger import page_sessions
from ringproof.ledger.credentials import Credential, Scope
from ringproof.ledger.page_sessions import LASTS, PageSession
from ringproof.secret_str import SecretStr
from worker.plivo_http.bounded_body import BodyTooLargeError, whole_body
from worker.plivo_http.page_headers import HEADERS, NOT_STORED
from worker.web.api.problems import problem_of
from worker.web.page.rendering import respond
from worker.web.page.shared import Shared
from worker.web.site import Site

LARGEST_FORM: Final = 16 * 1024
"""Bytes. The longest form is a reason for a pause."""

FORM_SECONDS: Final = 5.0
"""How long a form may take to come: a stranger who sends a part of one must not hold a connection for ever."""

MOST_FIELDS: Final = 20

LINK: Final = "link"
"""What a session has in place of an auth id if its person has come by the login link."""

LIVE: Final = "/page/live"
"""The path of the streams."""

SEES: Final = frozenset({Scope.READ, Scope.BATCH})
"""The scopes that let a credential in: one of them is enough."""


class Refused(Exception):  # it is an answer of the page's own, beside Ringproof's errors
    """An answer in place of what was asked for: a status, and a sentence with what to do."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(status, text)
        self.status, self.text = status, text


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of a person who has logged in: `credential` says who it is, and `form` what was sent."""

    request: Request
    site: Site
    shared: Shared
    credential: Credential
    token: SecretStr = field(repr=False)
    form: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def csrf(self) -> str:
        """The token that each form of this session has in it. No other site can know it."""
        return hmac.digest(self.token.get_secret_value().encode(), b"form", "sha256").hex()

    @property
    def actor(self) -> str:
        """Who acts, as the audit trail has it."""
        return self.credential.name if self.credential.auth_id == LINK else f"{self.credential.name}@page"

    @property
    def is_stream(self) -> bool:
        """Whether the answer is a stream, which keeps an open page current."""
        path: str = self.request.scope["path"]
        return path == LIVE

    async def read(self, name: str, read: Callable[[], Awaitable[Any]]) -> Any:
        """Return what `read` returns; for a stream, what it returned for this name and account a second ago at most."""
        return await self.shared.read(f"{self.site.account or ''}/{name}", read, now=not self.is_stream)

    def may(self, *scopes: Scope) -> bool:
        """Whether the person has all of these scopes."""
        return self.credential.scopes.issuperset(scopes)

    def facts(self, **facts: Any) -> dict[str, Any]:
        """Return what each template needs, and these facts."""
        return {**facts_of(self.request, self), **facts}

    def page(self, template: str, status: HTTPStatus = HTTPStatus.OK, **facts: Any) -> Response:
        """Return a page as the answer."""
        return respond(template, status, **self.facts(**facts))

    def go_to(self, path: str) -> Response:
        """Send the browser on, after a form: a reload then repeats nothing."""
        return redirect(self.request, path)


Run = Callable[[Visit], Awaitable[Response]]


class Guarded:
    """Serves one path, as an ASGI application: `get` and `post` answer those who have the scopes `needs`.

    `form` reads what was sent, before `post` gets it; without it, the fields of an ordinary form are read.
    """

    def __init__(
        self,
        site: Site,
        shared: Shared,
        *needs: Scope,
        get: Run | None = None,
        post: Run | None = None,
        form: Callable[[Request, Shared], Awaitable[Mapping[str, Any]]] | None = None,
    ) -> None:
        self._site, self._shared, self._needs = site, shared, needs
        self._runs = {"GET": get, "HEAD": get, "POST": post}
        self._form = form

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        visit: Visit | None = None
        try:
            visit = await visit_of(request, self._site, self._shared)
            response = await self._answer(request, visit)
        except ClientDisconnect:
            return
        except Refused as refused:
            response = _refusal(request, visit, refused.status, refused.text)
        except errors.RingproofError as error:
            problem = problem_of(error)
            response = _refusal(request, visit, HTTPStatus(problem.status), problem.detail)
        await response(scope, receive, send)

    async def _answer(self, request: Request, visit: Visit | None) -> Response:
        run = self._runs.get(request.method)
        if run is None:
            raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "this page has no such operation; go back to the overview")
        if visit is None:
            if request.method == "POST" or "text/event-stream" in request.headers.get("accept", ""):
                raise Refused(HTTPStatus.UNAUTHORIZED, "your session has ended; log in again, and repeat what you did")
            return redirect(request, "/page/login")
        if self._site.locks.seconds_until_free(visit.credential):
            text = "this credential calls more often than RINGPROOF_DOOR_RATE; wait a moment, and reload the page"
            raise Refused(HTTPStatus.TOO_MANY_REQUESTS, text)
        if not visit.may(*self._needs):
            missing = ", ".join(sorted(set(self._needs) - visit.credential.scopes))
            text = f"your credential has not the scope {missing}; make one that has it with ringproof door add NAME"
            raise Refused(HTTPStatus.FORBIDDEN, text)
        if request.method != "POST":
            return await run(visit)
        expect_own_page(request)
        form = await (self._form(request, self._shared) if self._form else read_form(request))
        if not hmac.compare_digest(str(form.get("csrf", "")).encode("utf-8", "replace"), visit.csrf.encode()):
            raise Refused(HTTPStatus.FORBIDDEN, "this form is of another session; reload the page, and send it again")
        return await run(replace(visit, form=form))


async def visit_of(request: Request, site: Site, shared: Shared) -> Visit | None:
    """Return the visit of a request's session; None without one, or if its credential was revoked."""
    cookie = request.cookies.get(cookie_name(site))
    if not cookie:
        return None
    token = SecretStr(cookie)
    session = await session_of(site, shared, token)
    credential = await credential_of(site, session) if session else None
    return Visit(request, await site.of(credential.account), shared, credential, token) if credential else None


async def session_of(site: Site, shared: Shared, token: SecretStr) -> PageSession | None:
    """Return the session of a token; None if there is none, or if it has ended."""
    return shared.sessions.find(token) or await site.threads(page_sessions.find, site.home, token)


async def credential_of(site: Site, session: PageSession) -> Credential | None:
    """Return the credential of a session as it is now; None if it was revoked."""
    if session.auth_id != LINK:
        found = await site.locks.of_digest(session.auth_id, session.digest)
        return found if found and found.scopes & SEES else None
    if site.link is None or session.digest != site.link.id:
        return None
    since = datetime.fromtimestamp(0, UTC)
    return Credential(site.link.actor, LINK, site.link.id, frozenset(Scope), since, site.link.account)


async def read_form(request: Request) -> Mapping[str, str]:
    """Return the fields of an ordinary form. Raises `Refused` if there is too much of it, or it does not come."""
    try:
        async with asyncio.timeout(FORM_SECONDS):
            body = await whole_body(request.scope, request.receive, LARGEST_FORM)
    except TimeoutError:
        raise Refused(HTTPStatus.REQUEST_TIMEOUT, "the form did not come in time; send it again") from None
    except BodyTooLargeError as error:
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"{error}; shorten what you have written") from None
    if body is None:
        raise ClientDisconnect
    try:
        return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=MOST_FIELDS))
    except ValueError:
        raise Refused(HTTPStatus.BAD_REQUEST, "this form has too many fields; reload the page") from None


def expect_own_page(request: Request) -> None:
    """Raise `Refused` if a browser says that a page of another site has sent this form."""
    fetch_site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if fetch_site in {"same-origin", "none"} or (fetch_site is None and origin is None):
        return  # without both it is no browser, and the form's own token decides
    if fetch_site is None and origin and urlsplit(origin).netloc == request.headers.get("host"):
        return
    raise Refused(HTTPStatus.FORBIDDEN, "another site has sent this form; open the page itself, and send it there")


def cookie_name(site: Site) -> str:
    """Return the name of the session's cookie. With `__Host-` no neighbour in the domain can set it."""
    return "__Host-ringproof" if site.is_secure else "ringproof-page"


def set_cookie(response: Response, site: Site, token: SecretStr) -> None:
    """Have the browser keep a session: for this host alone, away from scripts and from other sites."""
    response.set_cookie(
        cookie_name(site),
        token.get_secret_value(),
        max_age=int(LASTS.total_seconds()),
        path="/",
        secure=site.is_secure,
        httponly=True,
        samesite="strict",
    )


def facts_of(request: Request, visit: Visit | None) -> dict[str, Any]:
    """Return what each template needs, also without a session."""
    return {"visit": visit, "root": _root(request), "Scope": Scope}


def redirect(request: Request, path: str) -> Response:
    """Send the browser to a path of this server."""
    return RedirectResponse(f"{_root(request)}{path}", HTTPStatus.SEE_OTHER, {**HEADERS, **NOT_STORED})


def _root(request: Request) -> str:
    """Return what a proxy has put in front of the paths."""
    root: str = request.scope.get("root_path", "")
    return root


def _refusal(request: Request, visit: Visit | None, status: HTTPStatus, text: str) -> Response:
    return respond("refused.html", status, text=text, title=status.phrase, **facts_of(request, visit))
