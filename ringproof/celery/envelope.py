"""What a message must look like before Celery gets it. Any program that reaches this Redis can write into a queue.

Celery's main process trusts messages: a wrong type in a header, a deep list or a compressed text can end it. So Celery
gets a copy that is made of the fields below, and a message that does not have them is junk.
"""

import base64
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeVar

from kombu.utils.json import loads
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from ringproof.accounts import NAME
from ringproof.celery.junk import NotAMessageError

LONGEST_TEXT: Final = 4_096
"""Characters of a text in the envelope. Those that Celery writes have 1,024 or a few more."""

DEEPEST: Final = 32
"""Lists and objects within each other in a body. Ringproof's have three; Python raises RecursionError at 1,000."""

DAY_SECONDS: Final = 86_400
"""The longest time limit of a task that a message may set."""

_OUR_ARGUMENTS = re.compile(r"\((?:'\+\d{1,3}•{7}\d\d',|\d{1,7} numbers,(?: '(?:sms|call)')?)?\)", re.ASCII)
_OUR_ACCOUNT = f"'account': '{NAME.pattern}'"
_OUR_OPTIONS = re.compile(rf"\{{(?:'request': \d{{1,12}}(?:, {_OUR_ACCOUNT})?|{_OUR_ACCOUNT}|…)?\}}", re.ASCII)


def _printable(text: str) -> str:
    if not text.isprintable():  # a line end, a control character, or half a character
        raise ValueError("it is not printable")
    return text


def _veil_arguments(shown: object) -> str:
    return shown if isinstance(shown, str) and _OUR_ARGUMENTS.fullmatch(shown) else "(…)"


def _veil_options(shown: object) -> str:
    return shown if isinstance(shown, str) and _OUR_OPTIONS.fullmatch(shown) else "{…}"


Arguments = Annotated[str, BeforeValidator(_veil_arguments)]
Options = Annotated[str, BeforeValidator(_veil_options)]
Text = Annotated[str, StringConstraints(max_length=LONGEST_TEXT), AfterValidator(_printable)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=255), AfterValidator(_printable)]
Whole = Annotated[int, Field(gt=-(2**63), lt=2**63)]
Plain = Text | bool | Whole | Annotated[float, Field(allow_inf_nan=False)] | None
Few = Annotated[list[Plain], Field(max_length=100)]
Limit = Annotated[float, Field(ge=0, le=DAY_SECONDS, allow_inf_nan=False)] | None


class _Shape(BaseModel):
    """Takes each field in its own type only, and leaves out all others."""

    model_config = ConfigDict(strict=True, extra="ignore")


class _DeliveryInfo(_Shape):
    exchange: Text
    routing_key: Text


class _Properties(_Shape):
    delivery_tag: Name
    delivery_info: _DeliveryInfo
    body_encoding: Literal["base64"]
    delivery_mode: Whole | None = None
    priority: Annotated[int, Field(ge=0, le=255)] | None = None
    correlation_id: Text | None = None
    reply_to: Text | None = None


class _Headers(_Shape):
    """The headers of any message: of a broadcast, an answer, an event or a task.

    The clock that Celery's processes share is left out: after a huge one no process could write its own any more.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Plain | Few | dict[Text, Plain | Few]]

    argsrepr: Arguments | None = None
    kwargsrepr: Options | None = None
    compression: None = None  # Celery would unpack the body first, however large it is then
    clock: Annotated[None, BeforeValidator(lambda _: None)] = None


class _TaskHeaders(_Shape):
    """The headers of a message for a task, in Celery's second protocol. Of arguments they show what Ringproof wrote.

    Celery makes each header an attribute of the request, whatever its name. So there are no others.
    """

    task: Name
    id: Name
    argsrepr: Arguments = "(…)"
    kwargsrepr: Options = "{…}"
    eta: Text | None = None
    expires: Text | None = None
    timelimit: Annotated[list[Limit], Field(min_length=2, max_length=2)] = [None, None]
    retries: Whole = 0
    root_id: Text | None = None
    parent_id: Text | None = None
    group: Text | None = None
    group_index: Whole | None = None
    ignore_result: bool | None = None
    origin: Text | None = None
    traceparent: Text | None = None
    tracestate: Text | None = None
    baggage: Text | None = None
    sentry_trace: Text | None = Field(default=None, alias="sentry-trace")


class _Signature(_Shape):
    task: Name
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    options: dict[str, Any] = {}


class _After(_Shape):
    """What another program wants to be called after the task, as Celery's canvas writes it."""

    callbacks: list[_Signature] | None = None
    errbacks: list[_Signature] | None = None
    chain: list[_Signature] | None = None
    chord: _Signature | None = None


class _Envelope(_Shape):
    body: str
    content_type: Literal["application/json"] = Field(alias="content-type")
    content_encoding: Literal["utf-8"] = Field(alias="content-encoding")
    headers: _Headers
    properties: _Properties


Model = TypeVar("Model", bound=BaseModel)


def open_envelope(payload: Any) -> tuple[dict[str, Any], Any]:
    """Return a message as Celery may get it, and what its body says. Raises `NotAMessageError`."""
    envelope = _read(_Envelope, payload).model_dump(by_alias=True, exclude_none=True)
    try:
        body = loads(base64.b64decode(envelope["body"], validate=True))
    except Exception as error:  # noqa: BLE001  # RecursionError, for one, is no ValueError
        raise NotAMessageError(f"body: {type(error).__name__}") from None
    _require(_is_shallow(body), "body: it is too deep")
    return envelope, body


def check_task(headers: Mapping[str, Any], routing_key: str, body: Any) -> dict[str, Any]:
    """Return the headers of a message for a task. Raises `NotAMessageError`, also if its body is no task's."""
    _require(routing_key != "", "it names no queue")
    ours = _read(_TaskHeaders, headers).model_dump(by_alias=True, exclude_none=True)
    _require(isinstance(body, list) and len(body) == 3, "body: it is no list of three")
    arguments, options, after = body
    _require(isinstance(arguments, list) and isinstance(options, dict), "body: it has no arguments")
    _read(_After, after)
    return ours


def check_taken(written: str | bytes | None) -> None:
    """Check what kombu keeps of a message until it is acknowledged. Raises `NotAMessageError`."""
    try:
        message, exchange, routing_key = loads(written or "[]")
    except Exception as error:  # noqa: BLE001  # RecursionError, for one, is no ValueError
        raise NotAMessageError(type(error).__name__) from None
    _read(_Envelope, message)
    _require(isinstance(exchange, str) and isinstance(routing_key, str), "it names no exchange")
    _require(routing_key != "", "it names no queue")


def _read(model: type[Model], value: Any) -> Model:
    """Read a value into a model. The error names the field and not the value, which may be anything."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part)[:40] for part in found["loc"][:2])
        raise NotAMessageError(f"{where or 'message'}: {found['msg']}") from None


def _require(condition: bool, text: str) -> None:
    if not condition:
        raise NotAMessageError(text)


def _is_shallow(value: Any) -> bool:
    """Whether lists and objects lie in each other no deeper than DEEPEST. A recursion would fail itself."""
    layer = [value]
    for _ in range(DEEPEST):
        layer = [
            inner
            for outer in layer
            if isinstance(outer, list | dict)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not layer:
            return True
    return False
