"""`confirm_verification` as a producer calls it: leave the code in Redis for a minute, send a message without it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from celery.result import AsyncResult
from kombu.exceptions import OperationalError

from ringproof import errors, runtime
from ringproof.celery.app import app
from ringproof.celery.messages import CONFIRM, EnqueuedTask, refuse
from ringproof.ledger.confirmation import check_code, store_code
from ringproof.ledger.queues import queue
from ringproof.ledger.record import Lane
from ringproof.phone.masking import mask, mask_value
from ringproof.phone.number import parse

QUEUE: Final = queue(Lane.INTERACTIVE)
ARGUMENTS: Final = "the arguments are (phone_number, code, region=None)"
_WAITS: Final = "leave it out: a code waits for a minute to be taken, and its result for a day to be read"
_REFUSED: Final = dict.fromkeys(
    ("link", "link_error", "chain", "chord", "group_id", "eta", "countdown", "expires", "serializer"), _WAITS
)


class ConfirmationTask(EnqueuedTask):
    """A task whose message holds no code: it waits in Redis under a handle, to be taken once."""

    abstract = True
    Request = "ringproof.celery.masked_request:VeiledRequest"

    def apply_async(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> AsyncResult:
        """Leave the code for a worker and send its message; return an ordinary result, of the message's id.

        Raises `InvalidNumber`, or `InvalidRequest` for what is no code and never shows it; or `LedgerUnavailable`:
        then nobody will ask Plivo, and it can be entered again.
        """
        refuse(options, _REFUSED)
        if options.pop("queue", None) not in {None, QUEUE}:
            raise errors.InvalidRequest("queue", "given", f"leave it out: a confirmation is a person's, {QUEUE}")
        number, code, region = _arguments(*(args or ()), **(kwargs or {}))
        known = parse(number, region or runtime.settings().region).e164
        ledger = runtime.ledger()
        handle = store_code(ledger, check_code(code))
        veiled = {"queue": QUEUE, "argsrepr": f"('{mask(known)}',)", "kwargsrepr": "{…}"}
        try:
            return super().apply_async((known,), {"handle": handle}, **{**options, **veiled})
        except OperationalError as error:
            raise errors.LedgerUnavailable(ledger.shown_url, type(error).__name__) from None


def _arguments(*args: Any, **kwargs: Any) -> tuple[Any, Any, str | None]:
    """Name the arguments; what is wrong with them is told without any of them."""
    named = dict(zip(("phone_number", "code", "region"), args, strict=False))
    told = named | kwargs
    whole = {"phone_number", "code"} <= told.keys() <= {"phone_number", "code", "region"}
    if len(args) > 3 or named.keys() & kwargs.keys() or not whole:
        raise errors.InvalidRequest("arguments", "they are others", ARGUMENTS)
    region = told.get("region")
    if region is not None and not isinstance(region, str):
        raise errors.InvalidRequest("region", mask_value(region), "a country's two letters, such as 'US'")
    return told["phone_number"], told["code"], region


@app.task(
    base=ConfirmationTask,
    name=CONFIRM,
    shared=False,
    bind=True,
    typing=False,
    throws=(errors.InvalidRequest, errors.NotConfirmed),
)
def confirm_verification(self: ConfirmationTask, *args: Any, **kwargs: Any) -> dict[str, str | None]:
    """Have Plivo verify a number by the code that its person entered.

    Called as `confirm_verification.delay(phone_number, code, region=None)`. Its result is an ordinary one, without the
    number or the code: `{"state": "verified", "verification_uuid", "country", "verified_at"}`, or `NotConfirmed`.
    """
    result: dict[str, str | None] = self.perform(*args, **kwargs)
    return result
