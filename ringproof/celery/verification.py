"""`initiate_verification` as a program calls it: accept the request, send its message, return its result."""

import re
import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final

from celery.result import AsyncResult

from ringproof import errors, runtime
from ringproof.celery.app import app
from ringproof.celery.backend import Verification, parse_result_id
from ringproof.celery.messages import INITIATE, EnqueuedTask, reject_options, send_message
from ringproof.ledger.acceptance import Acceptance, Disposition
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.queues import lane_of, queue
from ringproof.ledger.record import Lane
from ringproof.ledger.request import VerificationRequest
from ringproof.phone.masking import mask
from ringproof.phone.number import parse

_SEND_TIME = "leave it out: a send ends by itself within 15 seconds, and a killed one would be in doubt"
_REMEDIES: Final = {
    "link": "wait with .get(), or read the number's AsyncResult later",
    "link_error": "catch the typed error that .get() raises",
    "chain": "enqueue the next task yourself once .get() has returned",
    "chord": "enqueue the numbers one by one and collect their results",
    "group_id": "enqueue the numbers one by one; their results can be put into a celery.result.ResultSet",
    "eta": "enqueue it when it is due: a code lives 15 minutes from when it is sent",
    "countdown": "enqueue it when it is due: a code lives 15 minutes from when it is sent",
    "expires": "a request ends by itself: after 15 minutes for a person, 24 hours for bulk and schedule",
    "time_limit": _SEND_TIME,
    "soft_time_limit": _SEND_TIME,
    "serializer": "leave it out: messages are JSON",
    "task_id": "leave it out: the id of the result is made of the number",
}
_MESSAGE_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class VerificationTask(EnqueuedTask):
    """A task that the ledger accepts before it is enqueued, and whose result is the number's record."""

    abstract = True

    def apply_async(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> Verification:
        """Accept a request, send its message, and return its result with the id `+E164/REQUEST`.

            verification = initiate_verification.apply_async(
                ("+14155550123",), {"alias": "Front desk"}, queue="ringproof.bulk"
            )
            verification.id  # "+14155550123/1764374400"

        `queue` names the lane: `ringproof.interactive` (the default), `ringproof.scheduled` or `ringproof.bulk`.
        Raises `InvalidNumber`, `InvalidRequest`, `CoolingDown`, `Capped` or `Overloaded`: nothing was queued. Raises
        `LedgerUnavailable` if Redis does not answer: then probably nothing was queued, and it is safe to try again.
        If only the message cannot be sent, that is logged, and the sweep sends it later.
        """
        reject_options(options, _REMEDIES)
        lane = lane_of(options.pop("queue", None) or queue(Lane.INTERACTIVE))
        wanted = VerificationRequest.read(args or (), kwargs or {}, runtime.region())
        return self.enqueue(wanted, lane, token=uuid.uuid4().hex, options=options)

    def enqueue(
        self,
        wanted: VerificationRequest,
        lane: Lane,
        *,
        token: str,
        remember: timedelta | None = None,
        options: Mapping[str, Any] = MappingProxyType({}),
    ) -> Verification:
        """Accept a checked request, send its message with these options of Celery's, and return its result.

        A second call with the same `token`, within 15 minutes or within `remember`, gets the same result, and has no
        second code sent. Raises the errors of `apply_async`.
        """
        number = wanted.number.e164
        accepted = accept(runtime.ledger(), wanted, lane, token=token, remember=remember)
        if accepted.disposition is Disposition.ACCEPTED or accepted.promoted:
            send_message(number, accepted.request, lane, options)
        is_anothers = accepted.disposition is not Disposition.ACCEPTED
        return Verification(f"{number}/{accepted.request}", backend=self.backend, app=self.app, is_anothers=is_anothers)

    def AsyncResult(self, task_id: Any, **_: Any) -> AsyncResult:  # noqa: N802  # Celery's name
        """Return the result of a number's newest request, or the result with an id `+E164/REQUEST`.

            initiate_verification.AsyncResult("+1 415 555 0123").state  # "SUCCESS"

        Raises `InvalidNumber` if the id is neither of them.
        """
        if isinstance(task_id, str) and _MESSAGE_ID.fullmatch(task_id):
            return super().AsyncResult(task_id)  # a signature of Celery's canvas, which apply_async refuses later
        if not (isinstance(task_id, str) and parse_result_id(task_id)):
            task_id = parse(task_id, runtime.region()).e164
        return Verification(task_id, backend=self.backend, app=self.app)


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

        initiate_verification.delay(
            phone_number, alias=None, channel="sms", subaccount=None, region=None, resend=False,
            reverify_after_days=None, requester=None,
        )

    `phone_number` is E.164, or any notation that names its country, unless `region` does. `channel` is `sms`, `call`,
    or `auto`, which calls landlines and texts all other numbers. `requester` names who asks, such as the key of the
    user's session, for a cap of its own. Returns a `Verification`; `apply_async` lists the
    errors.
    """
    self.perform(*args, **kwargs)


def accept(
    ledger: Ledger, wanted: VerificationRequest, lane: Lane, *, token: str, remember: timedelta | None = None
) -> Acceptance:
    """Have the ledger accept a checked request; the same token gets the same answer.

    Raises `CoolingDown`, `Capped`, `Overloaded`, or `InvalidNumber` if the number's country is not allowed.
    """
    accepted = ledger.accept(
        wanted.number.e164,
        token=token,
        kind=wanted.kind(lane),
        lane=lane,
        channel=wanted.channel,
        alias=wanted.alias,
        subaccount=wanted.subaccount,
        country=wanted.number.country,
        requester=wanted.requester,
        reverify_after_days=wanted.reverify_after_days,
        remember=remember,
    )
    if accepted.disposition is Disposition.COOLING_DOWN and accepted.until:
        raise errors.CoolingDown(accepted.until)
    if accepted.disposition is Disposition.CAPPED and accepted.until:
        raise errors.Capped(accepted.limit, accepted.until)
    if accepted.disposition is Disposition.OVERLOADED and accepted.until:
        raise errors.Overloaded(accepted.until, accepted.until + ledger.durations.request(lane))
    if accepted.disposition is Disposition.COUNTRY:
        raise errors.InvalidNumber(accepted.limit, mask(wanted.number.e164))
    return accepted
