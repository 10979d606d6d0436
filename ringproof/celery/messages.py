"""The messages that carry the work: each names requests that the ledger has accepted, and may be lost or come twice."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NoReturn, TypeVar

from celery import Task

from ringproof import errors
from ringproof.celery.app import app
from ringproof.celery.backend import split
from ringproof.ledger.queues import queue
from ringproof.ledger.record import Lane
from ringproof.phone.masking import mask

INITIATE: Final = "initiate_verification"
CONFIRM: Final = "confirm_verification"
WORK_CHUNK: Final = "ringproof.work_chunk"

Body = TypeVar("Body", bound=Callable[..., Any])

_log = logging.getLogger(__name__)


_BODIES: dict[str, Callable[..., Any]] = {}


def performs(task_name: str) -> Callable[[Body], Body]:
    """Make a function the body of a task that producers call; the function gets the task first.

    Producers know the task without its body, which only a worker needs. The body is kept by the task's name, because
    looking at the task itself would make Celery read its configuration.
    """

    def register(body: Body) -> Body:
        _BODIES[task_name] = body
        return body

    return register


class MaskedTask(Task):
    """A task whose messages name a number, which nobody is shown."""

    abstract = True
    Request = "ringproof.celery.masked_request:MaskedRequest"


class EnqueuedTask(MaskedTask):
    """A task that is enqueued through its own `apply_async` and in no other way."""

    abstract = True

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise errors.InvalidRequest("call", "not by .delay", "use .delay(…); tests run against `ringproof sandbox`")

    def perform(self, *args: Any, **kwargs: Any) -> Any:
        """Run the body that `performs` has named. Raises `RuntimeError` in a process that is no worker of Ringproof."""
        if self.name not in _BODIES:
            raise RuntimeError(f"{self.name} has no body in this process; start a worker with `ringproof worker`")
        return _BODIES[self.name](self, *args, **kwargs)

    # Each of them would go round what apply_async does.
    apply = map = starmap = chunks = _refuse

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the body in a worker; refuse to be called directly."""
        if self.request.called_directly:
            self._refuse()
        return super().__call__(*args, **kwargs)


def refuse(options: Mapping[str, Any], refused: Mapping[str, str]) -> None:
    """Raise `InvalidRequest` for an option of Celery's that cannot be; `refused` has the way out, by its name."""
    for name, remedy in refused.items():
        if options.get(name):
            raise errors.InvalidRequest(name, "given", remedy)


def is_request(told: Any) -> bool:
    """Whether this is a number in E.164 and its request, as our own messages name them."""
    return (
        isinstance(told, list | tuple)
        and len(told) == 2
        and isinstance(told[0], str)
        and type(told[1]) is int
        and split(f"{told[0]}/{told[1]}") is not None
    )


def send_message(
    number: str,
    request: int,
    lane: Lane,
    options: Mapping[str, Any] | None = None,
    task: str = INITIATE,
) -> bool:
    """Send the message of an accepted request; never raises. False if it could not be sent, which is logged."""
    return _send(task, (number,), {"request": request}, lane, f"('{mask(number)}',)", options)


def send_chunk(requests: Sequence[tuple[str, int]], lane: Lane) -> bool:
    """Send one message for many accepted requests of a lane, as `send_message` does for one."""
    return _send(WORK_CHUNK, (requests,), {}, lane, f"({len(requests)} numbers,)")


def send_numbers(task: str, numbers: Sequence[str], lane: Lane) -> bool:
    """Send one message about many numbers, as `send_message` does for one."""
    return _send(task, (numbers,), {}, lane, f"({len(numbers)} numbers,)")


def _send(
    task: str,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    lane: Lane,
    shown: str,
    options: Mapping[str, Any] | None = None,
) -> bool:
    ours = {
        "queue": queue(lane),
        "ignore_result": True,  # the record is the result
        "argsrepr": shown,
        "kwargsrepr": str(kwargs),
    }
    try:
        app.send_task(task, args, kwargs, **{**(options or {}), **ours})
    except Exception as error:  # noqa: BLE001  # the request is accepted: whatever failed here, it stands
        _log.warning("accepted %s, but its message was not sent (%r); it is enqueued again", shown, error)
        return False
    return True
