"""A page's phone number, verified: three routes for the page's script. They await Ringproof, and block nothing."""

import logging
import os
from collections.abc import Awaitable, Callable
from typing import Final

from celery.exceptions import TimeoutError as NoAnswer
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from starlette.middleware.sessions import SessionMiddleware

from ringproof import confirm_verification, initiate_verification
from ringproof.errors import InvalidRequest, NothingPending, RingproofError
from ringproof.http_answer import answer_to
from ringproof.pydantic import E164, refused_number

LARGEST_BODY: Final = 512
WAIT_SECONDS: Final = 10

app = FastAPI()
app.add_middleware(SessionMiddleware, secret_key=os.environ["SECRET_KEY"])
log = logging.getLogger(__name__)


class Body(BaseModel):
    model_config = ConfigDict(strict=True)  # "yes" and 1 are no True


class Wish(Body):
    phone: E164 | None = None
    resend: bool = False


class Entry(Body):
    code: str


class State(BaseModel):
    state: str


@app.post("/phone", status_code=202)
async def send_code(wish: Wish, request: Request) -> None:
    number = request.session.get("phone") if wish.resend else wish.phone
    verification = await initiate_verification.adelay(number or "", resend=wish.resend)
    if verification.id != request.session.get("request"):  # a second click gets the same request
        request.session["phone"], request.session["request"] = verification.phone_number, verification.id
        request.session["is_own"] = not verification.is_anothers


@app.get("/phone")
async def state(request: Request) -> State:
    """Answer when the code is sent, or after ten seconds; then the page asks again."""
    if not request.session.get("is_own"):  # where another person's request stands is not for this session
        return State(state="PENDING")
    verification = initiate_verification.AsyncResult(request.session["request"])
    try:
        await verification.wait(timeout=WAIT_SECONDS)
    except NoAnswer:
        log.info("a code is not sent yet: %s", verification)  # its text is masked
    return State(state=await verification.astate())


@app.post("/phone/code")
async def confirm(entry: Entry, request: Request) -> State:
    if "request" not in request.session:
        raise NothingPending
    number, request_id = request.session["phone"], request.session["request"]
    await confirm_verification.aconfirm(number, entry.code, request=request_id, timeout=WAIT_SECONDS)
    return State(state="VERIFIED")  # from here on it is your user's: store it


@app.exception_handler(RingproofError)
@app.exception_handler(NoAnswer)  # no worker answered within ten seconds
async def explain(request: Request, error: Exception) -> JSONResponse:
    answer = answer_to(error, request.headers.get("accept-language", "en"))
    if answer.status >= 500:
        log.warning("%s: %s", type(error).__name__, error)
    return JSONResponse({"error": answer.sentence}, answer.status, answer.headers)


@app.exception_handler(RequestValidationError)
async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
    refused = refused_number(error.errors()) or InvalidRequest("body", "(not shown)", "the fields of this request")
    return await explain(request, refused)


@app.middleware("http")
async def refuse_large_bodies(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    is_chunked = "transfer-encoding" in request.headers  # without a length
    if is_chunked or int(request.headers.get("content-length", 0)) > LARGEST_BODY:
        return JSONResponse({"error": "the body is too large"}, 413)
    return await call_next(request)
