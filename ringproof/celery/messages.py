"""The messages that workers get. Each names requests that the ledger has accepted. It may be lost, or come twice."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NoReturn, TypeVar

from ringproof import errors
from ringproof.celery.app import PortableTask, app
from ringproof.celery.backend import parse_result_id
from ringproof.ledger.queues import queue
from ringproof.ledger.record import Lane
from ringproof.phone.masking import mask, redact

INITIATE: Final = "initiate_verification"
CONFIRM: Final = "confirm_verification"
WORK_CHUNK: Final = "ringproof.work_chunk"

Body = TypeVar("Body", bound=Callable[..., Any])

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
        raise errors.InvalidRequest("call", "not by .delay", "use .delay(…); tests run against `ringproof sandbox`")

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

    >>> requests_of(INITIATE, ["+14155550123"], {"request": 1764374400})
    ['+14155550123/1764374400']
    """
    pairs: Any = []
    if task == INITIATE and isinstance(args, list | tuple) and isinstance(kwargs, Mapping):
        pairs = [(*args, kwargs.get("request"))]
    elif task == WORK_CHUNK and isinstance(args, list | tuple) and args:
        pairs = args[0]
    return [f"{pair[0]}/{pair[1]}" for pair in pairs if is_request(pair)] if isinstance(pairs, list) else []


def send_message(
    number: str,
    request: int,
    lane: Lane,
    options: Mapping[str, Any] | None = None,
    task: str = INITIATE,
) -> bool:
    """Send the message of an accepted request. Returns False if that fails, which is logged; never raises."""
    return _send(task, (number,), {"request": request}, lane, f"('{mask(number)}',)", options)


def send_chunk(requests: Sequence[tuple[str, int]], lane: Lane, channel: str) -> bool:
    """Send one message for many requests of a lane and channel. Failures and the return are those of `send_message`.

    send_chunk([("+14155550123", 1764374400), ("+14155550124", 1764374401)], Lane.BULK, "sms")
    """
    return _send(WORK_CHUNK, (requests, channel), {}, lane, f"({len(requests)} numbers, '{channel}')")


def send_numbers(task: str, numbers: Sequence[str], lane: Lane) -> bool:
    """Send one message about many numbers. Failures and the return are those of `send_message`."""
    return _send(task, (numbers,), {}, lane, f"({len(numbers)} numbers,)")


def _send(
    task: str,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    lane: Lane,
    masked: str,
    options: Mapping[str, Any] | None = None,
) -> bool:
    ours = {
        "queue": queue(lane),
        "ignore_result": True,  # the record is the result
        "argsrepr": masked,
        "kwargsrepr": str(kwargs),
    }
    try:
        app.send_task(task, args, kwargs, **{**(options or {}), **ours})
    except Exception as error:  # noqa: BLE001  # the request is accepted, whatever fails here
        _log.warning(
            "accepted %s, but its message was not sent (%s); the sweep sends it again", masked, redact(repr(error))
        )
        return False
    return True
