"""The messages that workers get. Each names requests that the ledger has accepted. It may be lost, or come twice."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, NoReturn, TypeVar

from ringproof import errors
from ringproof.accounts import NAME
from ringproof.celery.app import PortableTask, app
from ringproof.ledger.queues import queue
from ringproof.ledger.record import Lane
from ringproof.ledger.result_id import ResultId, parse_result_id
from ringproof.phone.masking import mask, redact

INITIATE: Final = "initiate_verification"
CONFIRM: Final = "confirm_verification"
WORK_CHUNK: Final = "ringproof.work_chunk"
WORK_PEOPLE: Final = "ringproof.work_people"

Body = TypeVar("Body", bound=Callable[..., Any])
Kind = TypeVar("Kind", bound="EnqueuedTask")

_log = logging.getLogger(__name__)


_BODIES: dict[str, Callable[..., Any]] = {}


def performs(task_name: str) -> Callable[[Body], Body]:
    """Make a function the body of a task. Programs know the task without its body; only a worker needs that.

        @performs(INITIATE)
        def send_code(task, *args, **kwargs): ...

    The body gets the task first. It is stored under the task's name: to touch the task itself would make Celery read
    its configuration.
    """

    def register(body: Body) -> Body:
        _BODIES[task_name] = body
        return body

    return register


class MaskedTask(PortableTask):
    """A task whose messages name phone numbers. Logs, events and `inspect` show them masked."""

    abstract = True
    Request = "ringproof.celery.masked_request:MaskedRequest"


class EnqueuedTask(MaskedTask):
    """A task that programs enqueue by `delay` or `apply_async`, and in no other way."""

    abstract = True

    def _refuse_call(self, *_: Any, **__: Any) -> NoReturn:
        raise errors.InvalidRequest("call", "not by .delay", "use .delay(…), in tests too: see docs/guide/testing.md")

    def perform(self, *args: Any, **kwargs: Any) -> Any:
        """Run the body that `performs` has registered. Raises `RuntimeError` in a process that is no worker."""
        if self.name not in _BODIES:
            raise RuntimeError(f"{self.name} has no body in this process; start a worker with `ringproof worker`")
        return _BODIES[self.name](self, *args, **kwargs)

    # Each of these would bypass apply_async.
    apply = map = starmap = chunks = _refuse_call

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the body in a worker. Raises `InvalidRequest` if a program calls the task directly."""
        if self.request.called_directly:
            self._refuse_call()
        return super().__call__(*args, **kwargs)


def enqueued(kind: type[Kind], name: str, *throws: type[Exception]) -> Callable[[Callable[..., Any]], Kind]:
    """Make a function a task of this kind. Celery's own decorator does the same, and tells type checkers nothing.

    `throws` are the errors that a worker expects, and logs without a traceback.
    """
    task: Callable[[Callable[..., Any]], Kind] = app.task(
        base=kind, name=name, shared=False, bind=True, typing=False, throws=throws
    )
    return task


def reject_options(options: Mapping[str, Any], remedies: Mapping[str, str]) -> None:
    """Raise `InvalidRequest` for an option of Celery's that is not supported; `remedies` says what to do instead."""
    for name, remedy in remedies.items():
        if options.get(name):
            raise errors.InvalidRequest(name, "given", remedy)


def is_request(value: Any) -> bool:
    """Whether a value from a message is a number with its request.

    >>> is_request(["+14155550123", 1764374400]), is_request(["4155550123", "1"])
    (True, False)
    """
    return (
        isinstance(value, list | tuple)
        and len(value) == 2
        and isinstance(value[0], str)
        and type(value[1]) is int
        and parse_result_id(f"{value[0]}/{value[1]}") is not None
    )


def requests_of(task: str, args: Any, kwargs: Any) -> list[str]:
    """Return the ids of the requests that a message of Ringproof's is about; none if it is another's, or names none.

    >>> requests_of(INITIATE, ["+14155550123"], {"request": 1764374400, "account": "acme"})
    ['acme:+14155550123/1764374400']
    """
    pairs: Any = []
    options = kwargs if isinstance(kwargs, Mapping) else {}
    if task == INITIATE and isinstance(args, list | tuple):
        pairs = [(*args, options.get("request"))]
    elif task == WORK_CHUNK and isinstance(args, list | tuple) and args:
        pairs = args[0]
    account = options.get("account")
    if not isinstance(pairs, list) or not (account is None or is_account(account)):
        return []
    return [str(ResultId(pair[0], pair[1], account)) for pair in pairs if is_request(pair)]


def is_account(value: Any) -> bool:
    """Whether a value from a message is the name of an account, known or not."""
    return isinstance(value, str) and NAME.fullmatch(value) is not None


class Message(NamedTuple):
    """A message before it is sent: what Celery's `send_task` takes. `masked` names its numbers in logs."""

    task: str
    args: Any
    kwargs: Mapping[str, Any]
    options: Mapping[str, Any]
    masked: str

    def send_by(self, **producer: Any) -> None:
        """Send it by a producer, or by the application's own."""
        app.send_task(self.task, self.args, self.kwargs, **self.options, **producer)


def message_of(
    number: str,
    request: int,
    lane: Lane,
    options: Mapping[str, Any] | None = None,
    task: str = INITIATE,
    trace: str | None = None,
    account: str | None = None,
) -> Message:
    """Return the message of an accepted request.

    `trace` is the traceparent that the message carries. `account` is whose request it is: None is the installation's.
    """
    if trace:
        options = {**(options or {}), "headers": {**((options or {}).get("headers") or {}), "traceparent": trace}}
    return _message(task, (number,), {"request": request} | _of(account), lane, f"('{mask(number)}',)", options)


def send_message(message: Message) -> bool:
    """Send a message about accepted requests. Returns False if that fails, which is logged; never raises.

    send_message(message_of("+14155550123", 1764374400, Lane.BULK))
    """
    try:
        message.send_by()
    except Exception as error:  # noqa: BLE001  # the request is accepted, whatever fails here
        log_unsent(message, error)
        return False
    return True


def send_chunk(requests: Sequence[tuple[str, int]], lane: Lane, channel: str, account: str | None = None) -> bool:
    """Send one message for many requests of a lane and channel. Failures and the return are those of `send_message`.

    send_chunk([("+14155550123", 1764374400), ("+14155550124", 1764374401)], Lane.BULK, "sms")
    """
    masked = f"({len(requests)} numbers, '{channel}')"
    return send_message(_message(WORK_CHUNK, (requests, channel), _of(account), lane, masked))


def people_message(account: str) -> Message:
    """Return the message for the people of an account who are on its list."""
    return _message(WORK_PEOPLE, (), _of(account), Lane.INTERACTIVE, "()")


def send_numbers(task: str, numbers: Sequence[str], lane: Lane, account: str | None = None) -> bool:
    """Send one message about many numbers. Failures and the return are those of `send_message`."""
    return send_message(_message(task, (numbers,), _of(account), lane, f"({len(numbers)} numbers,)"))


def send_again(task: Any, kwargs: Mapping[str, Any] | None = None) -> bool:
    """Send the message that a task performs once more, with the same id, so that another worker performs it.

    `kwargs` take the place of its own. Failures and the return are those of `send_message`.
    """
    request = task.request
    options = {
        "task_id": request.id,
        "queue": request.delivery_info["routing_key"],
        "ignore_result": request.ignore_result,
        "argsrepr": request.argsrepr,
        "kwargsrepr": request.kwargsrepr,
    }
    arguments = request.kwargs if kwargs is None else kwargs
    return send_message(Message(task.name, request.args, arguments, options, request.argsrepr))


def _of(account: str | None) -> dict[str, Any]:
    """Return what a message says of its account: nothing of the installation's own, as before there were others."""
    return {} if account is None else {"account": account}


def _message(
    task: str,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    lane: Lane,
    masked: str,
    options: Mapping[str, Any] | None = None,
) -> Message:
    ours = {
        "queue": queue(lane),
        "ignore_result": True,  # the record is the result
        "argsrepr": masked,
        "kwargsrepr": str(kwargs),
    }
    return Message(task, args, kwargs, {**(options or {}), **ours}, masked)


def log_unsent(message: Message, error: Exception) -> None:
    """Log that the message of an accepted request was not sent."""
    _log.warning(
        "accepted %s, but its message was not sent (%s); the sweep sends it again", message.masked, redact(repr(error))
    )
