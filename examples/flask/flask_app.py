"""A page's phone number, verified: three routes for the page's script."""

import os
from typing import Any, Final, TypeVar

from celery.exceptions import TimeoutError as NoAnswer
from flask import Flask, Response, jsonify, request, session
from flask.typing import ResponseReturnValue

from ringproof import confirm_verification, initiate_verification
from ringproof.errors import InvalidRequest, NothingPending, RingproofError
from ringproof.http_answer import answer_to

WAIT_SECONDS: Final = 10

app = Flask(__name__)
app.secret_key = os.environ["SECRET_KEY"]
app.config.update(MAX_CONTENT_LENGTH=512, SESSION_COOKIE_SAMESITE="Lax")

T = TypeVar("T")


@app.post("/phone")
def send_code() -> ResponseReturnValue:
    resend = field("resend", bool, default=False)
    number = session.get("phone", "") if resend else field("phone", str)
    verification = initiate_verification.delay(number, resend=resend)
    if verification.id != session.get("request"):  # a second click gets the same request
        session["phone"], session["request"] = verification.phone_number, verification.id
        session["is_own"] = not verification.is_anothers
    return "", 202


@app.get("/phone")
def state() -> Response:
    if not session.get("is_own"):  # where another person's request stands is not for this session
        return jsonify(state="PENDING")
    verification = initiate_verification.AsyncResult(session["request"])
    if isinstance(verification.result, Exception):  # the code was not sent; the handler below says why
        raise verification.result
    return jsonify(state=verification.state)


@app.post("/phone/code")
def confirm() -> Response:
    code = field("code", str)
    if "request" not in session:
        raise NothingPending
    confirm_verification.delay(session["phone"], code, request=session["request"]).get(timeout=WAIT_SECONDS)
    return jsonify(state="VERIFIED")  # from here on it is your user's: store it


def field(name: str, kind: type[T], default: T | None = None) -> T:
    body: Any = request.get_json()
    value = body.get(name, default) if isinstance(body, dict) else None
    if type(value) is not kind:
        raise InvalidRequest(name, "(not shown)", f"a {kind.__name__} in a JSON object")
    return value


@app.errorhandler(RingproofError)
@app.errorhandler(NoAnswer)  # no worker answered within ten seconds
def explain(error: Exception) -> ResponseReturnValue:
    answer = answer_to(error, language())
    if answer.status >= 500:
        app.logger.warning("%s: %s", type(error).__name__, error)
    return jsonify(error=answer.sentence), answer.status, answer.headers


def language() -> str:
    return request.accept_languages.best_match(["en", "es"], default="en")
