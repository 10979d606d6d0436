"""`initiate_verification` as a producer calls it: accept the request, send its message, return its result."""

import re
import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from celery.result import AsyncResult

from ringproof import errors, runtime
from ringproof.celery.app import app
from ringproof.celery.backend import Verification, split
from ringproof.celery.messages import INITIATE, EnqueuedTask, refuse, send_message
from ringproof.ledger.acceptance import Acceptance, Disposition
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.queues import lane_of, queue
from ringproof.ledger.record import Lane
from ringproof.ledger.request import VerificationRequest
from ringproof.phone.masking import mask
from ringproof.phone.number import parse

_SEND_TIME = "a send ends by itself within 15 seconds; killed in the midst of it, it would be in doubt"
_REFUSED: Final = {
    "link": "wait for the record: .get(), or read the number's AsyncResult later",
    "link_error": "the typed error is raised by .get()",
    "chain": "enqueue the next task yourself once .get() has returned",
    "chord": "enqueue the numbers one by one and collect their results",
    "group_id": "enqueue the numbers one by one; their results can be put into a celery.result.ResultSet",
    "eta": "enqueue it when it is due: a code lives 15 minutes from when it is sent",
    "countdown": "enqueue it when it is due: a code lives 15 minutes from when it is sent",
    "expires": "a request ends by itself: after 15 minutes for a person, 24 hours for bulk and schedule",
    "time_limit": _SEND_TIME,
    "soft_time_limit": _SEND_TIME,
    "serializer": "leave it out: messages are JSON",
    "task_id": "the result's id is made of the number; the message's is its own",
}
_MESSAGE_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class VerificationTask(EnqueuedTask):
    """A task whose truth is the ledger: enqueuing accepts first, and the result is the number's record."""

    abstract = True

    def apply_async(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> Verification:
        """Accept a request, then send its message; return its result, whose id is `+E164/request`.

        `queue` names the lane: `ringproof.interactive` (default), `.scheduled` or `.bulk`. Raises `InvalidNumber`,
        `InvalidRequest`, `CoolingDown` or `Capped`: then nothing was queued; or `LedgerUnavailable`: then nothing was
        as far as one can tell, and asking again is safe. If only the message cannot be sent it is logged: the request
        is accepted, and is enqueued again.
        """
        refuse(options, _REFUSED)
        lane = lane_of(options.pop("queue", None) or queue(Lane.INTERACTIVE))
        asked = VerificationRequest.read(args or (), kwargs or {}, runtime.settings().region)
        number = asked.number.e164
        accepted = accept(runtime.ledger(), asked, lane, token=uuid.uuid4().hex)
        if accepted.disposition is Disposition.ACCEPTED or accepted.promoted:
            send_message(number, accepted.request, lane, options)
        return Verification(f"{number}/{accepted.request}", backend=self.backend, app=self.app)

    def AsyncResult(self, task_id: Any, **_: Any) -> AsyncResult:  # noqa: N802  # Celery's name
        """Return the newest result of a number, in any notation, or that of an id `+E164/request`."""
        if isinstance(task_id, str) and _MESSAGE_ID.fullmatch(task_id):
            return super().AsyncResult(task_id)  # a signature of Celery's canvas, on its way to be refused by name
        ours = isinstance(task_id, str) and split(task_id)
        known = task_id if ours else parse(task_id, runtime.settings().region).e164
        return Verification(known, backend=self.backend, app=self.app)


@app.task(
    base=VerificationTask,
    name=INITIATE,
    shared=False,
    bind=True,
    typing=False,
    throws=(errors.InvalidRequest, errors.CoolingDown, errors.Capped),
)
def initiate_verification(self: VerificationTask, *args: Any, **kwargs: Any) -> None:
    """Have Plivo send a one-time code to a phone number, once.

    Called as `initiate_verification.delay(phone_number, alias=None, channel="sms", subaccount=None, region=None,
    resend=False, reverify_after_days=None)`. `phone_number` is E.164, or any notation that names its country (or
    `region` does); `channel` is `sms`, `call`, or `auto` (a landline gets a call). The result is the number's record:
    see `ringproof.celery.backend`.
    """
    self.perform(*args, **kwargs)


def accept(
    ledger: Ledger, asked: VerificationRequest, lane: Lane, *, token: str, remember: timedelta | None = None
) -> Acceptance:
    """Have the ledger accept a checked request. Raises `CoolingDown`, `Capped`, or `InvalidNumber` for its country."""
    accepted = ledger.accept(
        asked.number.e164,
        token=token,
        requester=asked.requester(lane),
        lane=lane,
        channel=asked.channel,
        alias=asked.alias,
        subaccount=asked.subaccount,
        country=asked.number.country,
        reverify_after_days=asked.reverify_after_days,
        remember=remember,
    )
    if accepted.disposition is Disposition.COOLING_DOWN and accepted.until:
        raise errors.CoolingDown(accepted.until)
    if accepted.disposition is Disposition.CAPPED and accepted.until:
        raise errors.Capped(accepted.limit, accepted.until)
    if accepted.disposition is Disposition.COUNTRY:
        raise errors.InvalidNumber("country", mask(asked.number.e164))
    return accepted
