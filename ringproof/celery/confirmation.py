"""`confirm_verification` as a program calls it: store the code in Redis for a minute, and send a message without it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from celery.result import AsyncResult
from kombu.exceptions import OperationalError

from ringproof import errors, runtime
from ringproof.celery.app import app
from ringproof.celery.backend import parse_result_id
from ringproof.celery.messages import CONFIRM, EnqueuedTask, reject_options
from ringproof.ledger.confirmation import check_code, store_code, veil
from ringproof.ledger.queues import queue
from ringproof.ledger.record import Lane
from ringproof.phone.masking import mask, mask_value
from ringproof.phone.number import optional_region, parse

QUEUE: Final = queue(Lane.INTERACTIVE)
ARGUMENTS: Final = "the arguments are (phone_number, code, region=None, request=verification.id)"
_REQUEST: Final = "the id of the result that initiate_verification.delay returned for this number: verification.id"
_NAMES: Final = ("phone_number", "code", "region", "request")
_NOT_LATER: Final = "leave it out: a worker takes the code within a minute, and the result can be read for a day"
_REMEDIES: Final = dict.fromkeys(
    ("link", "link_error", "chain", "chord", "group_id", "eta", "countdown", "expires", "serializer"), _NOT_LATER
)


class ConfirmationTask(EnqueuedTask):
    """A task whose message has no code. The code waits in Redis under a handle, and a worker takes it once."""

    abstract = True

    def delay(self, *args: Any, **kwargs: Any) -> AsyncResult:
        """Call `apply_async` with these arguments."""
        args, kwargs = _veiled(args, kwargs)
        return self.apply_async(args, kwargs)

    def apply_async(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> AsyncResult:
        """Store the code for a worker, and send its message; return an ordinary Celery result.

            confirm_verification.delay("+14155550123", "482913", request=verification.id).get(timeout=30)
            # {"state": "verified", "verification_uuid": "24856289-…", "country": "US", "verified_at": "2026-…"}

        With `request`, only the code that was sent for this request is entered. The code is a text as a person pastes
        it: `check_code` says which signs are dropped.

        Raises `InvalidNumber`, or `InvalidRequest` for a wrong code, which the error does not show. Raises
        `LedgerUnavailable` if Redis does not answer: then Plivo is not asked, and the user can enter the code again.
        """
        args, kwargs = _veiled(args or (), kwargs or {})
        reject_options(options, _REMEDIES)
        if options.pop("queue", None) not in {None, QUEUE}:
            raise errors.InvalidRequest("queue", "given", f"leave it out: confirmations always go to {QUEUE}")
        given = _arguments(*args, **kwargs)
        region = optional_region(given.get("region")) or runtime.region()
        e164 = parse(given["phone_number"], region).e164
        bound = {"request": _request_of(given["request"], e164)} if "request" in given else {}
        ledger = runtime.ledger()
        handle = store_code(ledger, check_code(given["code"]))
        veiled = {"queue": QUEUE, "argsrepr": f"('{mask(e164)}',)", "kwargsrepr": "{…}"}
        try:
            return super().apply_async((e164,), {"handle": handle, **bound}, **{**options, **veiled})
        except OperationalError as error:
            unavailable = errors.LedgerUnavailable(ledger.shown_url, type(error).__name__)
        raise unavailable


def _veiled(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments with the code as a SecretStr: a crash reporter records the variables of each function."""
    code = _NAMES.index("code")
    hidden = tuple(veil(value) if place == code else value for place, value in enumerate(args))
    return hidden, {name: veil(value) if name == "code" else value for name, value in kwargs.items()}


def _arguments(*args: Any, **kwargs: Any) -> dict[str, Any]:
    """Return the arguments by their names. Raises `InvalidRequest`, which shows none of them."""
    named = dict(zip(_NAMES, args, strict=False))
    arguments = named | kwargs
    are_complete = {"phone_number", "code"} <= arguments.keys() <= set(_NAMES)
    if len(args) > len(_NAMES) or named.keys() & kwargs.keys() or not are_complete:
        raise errors.InvalidRequest("arguments", "they are others", ARGUMENTS)
    return arguments


def _request_of(result_id: object, number: str) -> int:
    """Return the request that a result's id names. Raises `InvalidRequest`, also for None: the caller lost the id."""
    named = parse_result_id(result_id) if isinstance(result_id, str) else None
    if named is None or named[0] != number or named[1] is None:
        raise errors.InvalidRequest("request", mask_value(result_id), _REQUEST)
    return named[1]


@app.task(
    base=ConfirmationTask,
    name=CONFIRM,
    shared=False,
    bind=True,
    typing=False,
    throws=(errors.InvalidRequest, errors.NotConfirmed),
)
def confirm_verification(self: ConfirmationTask, *args: Any, **kwargs: Any) -> dict[str, str | None]:
    """Have Plivo verify a number by the code that its user entered.

        confirm_verification.delay(phone_number, code, region=None, request=verification.id)

    With `request`, only the code that was sent for this request verifies the number. The result is an ordinary one of
    Celery's, without the number and the code. `.get()` raises a `NotConfirmed` if the number was not verified.
    """
    result: dict[str, str | None] = self.perform(*args, **kwargs)
    return result
