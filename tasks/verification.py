"""`initiate_verification`: from a phone number to a sent code."""

import logging
import re
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NoReturn

from celery import Task
from celery.result import AsyncResult
from kombu.exceptions import OperationalError

from tasks.outcomes import outcome_of
from worker import errors, runtime
from worker.backend import Verification, split
from worker.celery import app
from worker.ledger import Acceptance, Begun, Disposition, Lane, Ledger, Outcome, State, Verdict
from worker.phone import mask, parse, shown
from worker.request import VerificationRequest, lane_of, queue

if TYPE_CHECKING:
    from worker.plivo import PlivoClient

FOREIGN_MEMORY: Final = timedelta(hours=24)
"""How long a foreign message's id is remembered: it may be delivered again for as long as its broker keeps it."""

SETTLE_PAUSES: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Seconds between two tries to tell the ledger an outcome; the last one repeats until Redis is back."""

_REFUSED: Final = {
    "link": "wait for the record: .get(), or read the number's AsyncResult later",
    "link_error": "the typed error is raised by .get()",
    "chain": "enqueue the next task yourself once .get() has returned",
    "chord": "enqueue the numbers one by one and collect their results",
    "group_id": "enqueue the numbers one by one; their results can be put into a celery.result.ResultSet",
    "eta": "enqueue it when it is due: a code lives 15 minutes from when it is sent",
    "countdown": "enqueue it when it is due: a code lives 15 minutes from when it is sent",
    "expires": "a request ends by itself: after 15 minutes for a person, 24 hours for bulk and schedule",
    "task_id": "the result's id is made of the number; the message's is its own",
}

_MESSAGE_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_log = logging.getLogger(__name__)


class VerificationTask(Task):
    """A task whose truth is the ledger: enqueuing accepts first, and the result is the number's record."""

    abstract = True
    Request = "worker.message:MaskedRequest"

    def apply_async(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> Verification:
        """Accept a request, then send its message; return its result, whose id is `+E164/request`.

        `queue` names the lane: `ringproof.interactive` (default), `.scheduled` or `.bulk`. Raises `InvalidNumber`,
        `InvalidRequest`, `CoolingDown`, or `LedgerUnavailable`: then nothing was queued. If only the message
        cannot be sent it is logged: the request is accepted, and is enqueued again.
        """
        for name, remedy in _REFUSED.items():
            if options.get(name):
                raise errors.InvalidRequest(name, "given", remedy)
        lane = lane_of(options.pop("queue", None) or queue(Lane.INTERACTIVE))
        asked = VerificationRequest.read(args or (), kwargs or {}, runtime.settings().region)
        ledger, number = runtime.ledger(), asked.number.e164
        accepted = _accept(ledger, asked, lane, token=uuid.uuid4().hex)
        if accepted.disposition is Disposition.ACCEPTED or accepted.promoted:
            self._enqueue(number, accepted.request, lane, options)
        return Verification(f"{number}/{accepted.request}", backend=self.backend, app=self.app)

    def _enqueue(self, number: str, request: int, lane: Lane, options: Mapping[str, Any]) -> None:
        shown = mask(number)
        try:
            self.app.send_task(
                self.name,
                (number,),
                {"request": request},
                **options,
                queue=queue(lane),
                ignore_result=True,
                argsrepr=f"('{shown}',)",
                kwargsrepr=f"{{'request': {request}}}",
            )
        except (OperationalError, OSError) as error:
            _log.warning("accepted %s, but its message was not sent (%s); it is enqueued again", shown, error)

    def AsyncResult(self, task_id: str, **_: Any) -> AsyncResult:  # noqa: N802  # Celery's name
        """Return the newest result of a number, in any notation, or that of an id `+E164/request`."""
        if _MESSAGE_ID.fullmatch(task_id):  # a signature of Celery's canvas, on its way to be refused by name
            return super().AsyncResult(task_id)
        known = task_id if split(task_id) else parse(task_id, runtime.settings().region).e164
        return Verification(known, backend=self.backend, app=self.app)

    def apply(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse: a code cannot be sent without the ledger and a worker."""
        raise errors.InvalidRequest("apply", "called", "use .delay(…); tests run against `ringproof sandbox`")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the body in a worker; refuse to be called directly."""
        if self.request.called_directly:
            raise errors.InvalidRequest("call", "direct", "use .delay(…); tests run against `ringproof sandbox`")
        return super().__call__(*args, **kwargs)


@app.task(
    base=VerificationTask,
    name="initiate_verification",
    shared=False,
    bind=True,
    typing=False,
    throws=(errors.InvalidRequest, errors.CoolingDown),
)
def initiate_verification(self: VerificationTask, *args: Any, request: Any = None, **kwargs: Any) -> None:
    """Have Plivo send a one-time code to a phone number, once.

    Called as `initiate_verification.delay(phone_number, alias=None, channel="sms", subaccount=None, region=None,
    resend=False)`. `phone_number` is E.164, or any notation that names its country (or `region` does); `channel` is
    `sms`, `call`, or `auto` (a landline gets a call). The result is the number's record: see `worker.backend`.
    """
    ledger, client = runtime.ledger(), runtime.plivo()
    if request is None:
        number, request = _accept_foreign(ledger, self.request, args, kwargs)
    else:
        number = _named(args, request)
    begun = ledger.begin([(number, request)])[0]
    if begun.verdict is Verdict.BEGUN:
        _send(ledger, client, number, begun)
    else:
        _log.info("nothing to send: %s", begun.record or f"{mask(number)} is unknown")


def _accept(
    ledger: Ledger, asked: VerificationRequest, lane: Lane, *, token: str, remember: timedelta | None = None
) -> Acceptance:
    accepted = ledger.accept(
        asked.number.e164,
        token=token,
        newcomer=asked.newcomer(lane),
        lane=lane,
        channel=asked.channel,
        alias=asked.alias,
        subaccount=asked.subaccount,
        country=asked.number.country,
        remember=remember,
    )
    if accepted.disposition is Disposition.COOLING_DOWN and accepted.until:
        raise errors.CoolingDown(accepted.until)
    return accepted


def _accept_foreign(ledger: Ledger, message: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[str, int]:
    """Accept what another application sent by name, once per message id."""
    lane = lane_of(str((message.delivery_info or {}).get("routing_key")))
    asked = VerificationRequest.read(args, kwargs, runtime.settings().region)
    accepted = _accept(ledger, asked, lane, token=f"message:{message.id}", remember=FOREIGN_MEMORY)
    return asked.number.e164, accepted.request


def _named(args: Sequence[Any], request: Any) -> str:
    """Return the number that our own message names, beside its request."""
    if len(args) == 1 and isinstance(args[0], str) and isinstance(request, int) and split(f"{args[0]}/{request}"):
        return args[0]
    raise errors.InvalidRequest("request", shown(request), "it is Ringproof's own; leave it out")


def _send(ledger: Ledger, client: "PlivoClient", number: str, begun: Begun) -> None:
    """Wait for the slot, ask Plivo once, and tell the ledger what came of it."""
    record = begun.record
    assert record is not None  # noqa: S101  # what begin claimed, it read
    time.sleep(begun.wait.total_seconds())
    started = time.monotonic()
    try:
        sent = client.initiate(number, alias=record.alias, channel=record.channel, subaccount=record.subaccount)
        outcome = Outcome(State.CODE_SENT, verification_uuid=sent.verification_uuid, api_id=sent.api_id)
    except errors.RingproofError as error:
        outcome = outcome_of(error, record.attempts)
    took = time.monotonic() - started
    settle(ledger, number, record.request, begun.fence, outcome)
    why = f" ({outcome.reason or outcome.detail})" if outcome.reason or outcome.detail else ""
    _log.info("%s %s %s %.0f ms%s", outcome.state, mask(number), record.channel, took * 1000, why)


def settle(ledger: Ledger, number: str, request: int, fence: str, outcome: Outcome) -> None:
    """Tell the ledger an outcome until it has answered: Plivo's word is not lost because Redis is away."""
    for tries in range(10**9):
        try:
            ledger.settle(number, request, fence, outcome)
        except errors.LedgerUnavailable as error:
            if not tries:
                _log.warning("%s %s is not told yet: %s", outcome.state, mask(number), error)
            time.sleep(SETTLE_PAUSES[min(tries, len(SETTLE_PAUSES) - 1)])
        else:
            return
