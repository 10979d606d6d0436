"""Logging in with a credential of `ringproof door add`, or with the link that a server of this machine prints."""

from http import HTTPStatus

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from ringproof import errors
from ringproof.ledger import page_sessions
from ringproof.ledger.page_sessions import PageSession
from ringproof.secret_str import SecretStr
from worker.web.api.problems import problem_of
from worker.web.page.guard import (
    LINK,
    SEES,
    Refused,
    Visit,
    cookie_name,
    expect_own_page,
    facts_of,
    read_form,
    redirect,
    set_cookie,
    visit_of,
)
from worker.web.page.rendering import respond
from worker.web.page.shared import Shared
from worker.web.site import Site


class Login:
    """Serves the login, as an ASGI application: it is the one page for those who have no session."""

    def __init__(self, site: Site, shared: Shared) -> None:
        self._site, self._shared = site, shared

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except ClientDisconnect:
            return
        except Refused as refused:
            response = self._form(request, refused.status, refused.text)
        except errors.RingproofError as error:
            problem = problem_of(error)
            response = self._form(request, HTTPStatus(problem.status), problem.detail)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        if request.method == "POST":
            return await self._by_credential(request)
        if request.method not in {"GET", "HEAD"}:
            raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "log in with the form")
        if "link" in request.query_params:
            return await self._by_link(request, SecretStr(request.query_params["link"]))
        if await visit_of(request, self._site, self._shared):
            return redirect(request, "/")
        return self._form(request)

    async def _by_credential(self, request: Request) -> Response:
        """Begin a session of a credential. No session is changed before its token is right."""
        expect_own_page(request)
        form = await read_form(request)
        auth_id, token = form.get("auth_id", "").strip(), SecretStr(form.get("token", "").strip())
        credential = await self._site.locks.find(token, auth_id)
        if credential is None:
            text = "no credential has this auth id and token; make one with ringproof door add NAME"
            return self._form(request, HTTPStatus.UNAUTHORIZED, text, auth_id)
        if not credential.scopes & SEES:
            text = "this credential may only have codes sent; make one with --scope read,batch"
            return self._form(request, HTTPStatus.FORBIDDEN, text, auth_id)
        return await self._begin(request, PageSession(credential.auth_id, credential.digest))

    async def _by_link(self, request: Request, token: SecretStr) -> Response:
        link = self._site.link
        if request.method != "GET" or link is None or not link.use(token):
            text = "this link was used already, or is not of this process; start it again, and it prints a new one"
            return self._form(request, HTTPStatus.UNAUTHORIZED, text)
        return await self._begin(request, PageSession(LINK, link.id))

    async def _begin(self, request: Request, session: PageSession) -> Response:
        token = page_sessions.new_token()
        try:
            await self._site.threads(page_sessions.begin, self._site.home, token, session)
        except errors.LedgerUnavailable as error:
            if not error.is_refusal:
                raise
            self._shared.sessions.keep(token, session)
        response = redirect(request, "/")
        set_cookie(response, self._site, token)
        return response

    def _form(
        self, request: Request, status: HTTPStatus = HTTPStatus.OK, problem: str = "", auth_id: str = ""
    ) -> Response:
        shown = {"problem": problem, "auth_id": auth_id[:64], "by_link": self._site.link is not None}
        return respond("login.html", status, **shown, **facts_of(request, None))


async def log_out(visit: Visit) -> Response:
    """End the session."""
    visit.shared.sessions.end(visit.token)
    await visit.site.threads(page_sessions.end, visit.site.home, visit.token)
    response = visit.go_to("/page/login")
    response.delete_cookie(
        cookie_name(visit.site), path="/", secure=visit.site.is_secure, httponly=True, samesite="strict"
    )
    return response
