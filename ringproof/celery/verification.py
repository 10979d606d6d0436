"""`initiate_verification` as a program calls it: accept the request, send its message, return its result."""

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from ringproof import errors, runtime, tracing
from ringproof.accounts import check_name
from ringproof.aio.event_loop import open_here
from ringproof.celery.backend import Verification
from ringproof.celery.messages import INITIATE, EnqueuedTask, enqueued, message_of, reject_options, send_message
from ringproof.celery.people import send_people
from ringproof.celery.sending_here import send_here, send_people_here
from ringproof.ledger.acceptance import Acceptance, Disposition
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.queues import QueueName, lane_of
from ringproof.ledger.queues import queue as queue_of
from ringproof.ledger.record import Lane
from ringproof.ledger.request import VerificationRequest, arguments
from ringproof.ledger.result_id import ResultId, result_id_in
from ringproof.ledger.script_call import ScriptCall
from ringproof.phone.masking import mask, mask_value
from ringproof.phone.number import WrittenNumber, optional_region, parse
from ringproof.signature import takes

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
_CELERYS: Final = frozenset({"backend", "task_name", "app", "parent"})
_OF_A_RESULT: Final = "the arguments are (task_id, account=None, region=None)"
_MESSAGE_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class VerificationTask(EnqueuedTask):
    """A task that the ledger accepts before it is enqueued, and whose result is the number's record."""

    abstract = True

    @takes(arguments)
    def delay(self, *args: Any, **kwargs: Any) -> Verification:
        """Accept a request in a person's lane, send its message, and return its result.

            verification = initiate_verification.delay("+14155550123", alias="Front desk")

        `phone_number` is E.164, or any notation that names its country, unless `region` does. `channel` is `sms`,
        `call`, or `auto`, which calls landlines and texts all other numbers. `requester` names who asks, such as the
        key of the user's session, for a cap of its own. `account` is the account of Plivo that sends it, if it is not
        the installation's own. `apply_async` lists the errors.
        """
        return self.apply_async(args, kwargs)

    def apply_async(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        *,
        queue: QueueName | None = None,
        **options: Any,
    ) -> Verification:
        """Accept a request, send its message, and return its result with the id `+E164/REQUEST`.

            verification = initiate_verification.apply_async(
                ("+14155550123",), {"alias": "Front desk"}, queue="ringproof.bulk"
            )
            verification.id  # "+14155550123/1764374400"

        `queue` names the lane: `ringproof.interactive` (the default), `ringproof.scheduled` or `ringproof.bulk`.
        That of an account has its name in front: `acme:+14155550123/1764374400`.
        Raises `InvalidNumber`, `InvalidRequest`, `CoolingDown`, `Capped` or `Overloaded`: nothing was queued. Raises
        `LedgerUnavailable` if Redis does not answer: then probably nothing was queued, and it is safe to try again.
        If only the message cannot be sent, that is logged, and the sweep sends it later.
        """
        reject_options(options, _REMEDIES)
        lane = lane_of(queue or queue_of(Lane.INTERACTIVE))
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
        with tracing.span(INITIATE, "PRODUCER", lane=lane, channel=wanted.channel) as trace:
            ledger = runtime.ledger(wanted.account)
            accepted = accept(Accepting(ledger, wanted, lane, token, remember, trace))
            if accepted.needs_message:
                if wanted.account and lane is Lane.INTERACTIVE and not options:
                    send_people(ledger, [(number, accepted.request)])
                else:
                    send_message(
                        message_of(number, accepted.request, lane, options, trace=trace, account=wanted.account)
                    )
        return self._result_of(wanted, accepted)

    @takes(arguments)
    async def adelay(self, *args: Any, **kwargs: Any) -> Verification:
        """Do on asyncio what `delay` does: no thread, and no call that blocks the event loop.

            verification = await initiate_verification.adelay("+14155550123", alias="Front desk")

        The arguments and the errors are those of `delay`.
        """
        wanted = VerificationRequest.read(args, kwargs, runtime.region())
        return await self.enqueue_here(wanted, token=uuid.uuid4().hex)

    async def enqueue_here(
        self, wanted: VerificationRequest, *, token: str, remember: timedelta | None = None
    ) -> Verification:
        """Do on asyncio what `enqueue` does in a person's lane."""
        number, lane = wanted.number.e164, Lane.INTERACTIVE
        with tracing.span(INITIATE, "PRODUCER", lane=lane, channel=wanted.channel) as trace:
            ledger = runtime.ledger(wanted.account)
            accepted = await accept_here(Accepting(ledger, wanted, lane, token, remember, trace))
            if accepted.needs_message:
                if wanted.account:
                    await send_people_here(wanted.account, [(number, accepted.request)])
                else:
                    await send_here(message_of(number, accepted.request, lane, trace=trace))
        return self._result_of(wanted, accepted)

    def _result_of(self, wanted: VerificationRequest, accepted: Acceptance) -> Verification:
        is_anothers = accepted.disposition is not Disposition.ACCEPTED
        task_id = str(ResultId(wanted.number.e164, accepted.request, wanted.account))
        return Verification(task_id, backend=self.backend, app=self.app, is_anothers=is_anothers)

    def AsyncResult(  # noqa: N802  # Celery's name
        self,
        task_id: WrittenNumber,
        account: str | None = None,
        *,
        region: str | None = None,
        **options: Any,
    ) -> Verification:
        """Return the result of a number's newest request, or the result with an id `+E164/REQUEST`.

            initiate_verification.AsyncResult("+1 415 555 0123").state  # "SUCCESS"
            initiate_verification.AsyncResult("415 555 0123", region="US").state
            initiate_verification.AsyncResult("+1 415 555 0123", account="acme").state

        The id of a request names its account. Raises `InvalidNumber` if the id is neither of them, and
        `InvalidRequest` for an account that is not that of the id, and for any other argument.
        """
        for name in options.keys() - _CELERYS:
            raise errors.InvalidRequest("arguments", f"{mask_value(name)} is none of them", _OF_A_RESULT)
        if isinstance(task_id, str) and _MESSAGE_ID.fullmatch(task_id):
            celerys: Verification = super().AsyncResult(task_id)  # a signature of Celery's canvas
            return celerys  # which apply_async refuses later
        if account is not None:
            check_name(account)
        home = optional_region(region) or runtime.region()
        named = result_id_in(task_id, home)
        if named is None:
            named = ResultId(parse(task_id, home).e164, account=account)
        elif named.account is None and named.request is None:
            named = named._replace(account=account)
        elif account is not None and account != named.account:
            raise errors.InvalidRequest("account", account, "the id names another one; leave it out")
        return Verification(str(named), backend=self.backend, app=self.app)


@enqueued(VerificationTask, INITIATE, errors.InvalidRequest, errors.CoolingDown, errors.Capped)
def initiate_verification(self: VerificationTask, *args: Any, **kwargs: Any) -> None:
    """Have Plivo send a one-time code to a phone number, once.

        initiate_verification.delay(
            phone_number, alias=None, channel="sms", subaccount=None, region=None, resend=False,
            reverify_after_days=None, requester=None, account=None,
        )

    `phone_number` is E.164, or any notation that names its country, unless `region` does. `channel` is `sms`, `call`,
    or `auto`, which calls landlines and texts all other numbers. `requester` names who asks, such as the key of the
    user's session, for a cap of its own. `account` is the account of Plivo that sends it, if it is not the
    installation's own. Returns a `Verification`; `apply_async` lists the errors.
    """
    self.perform(*args, **kwargs)


@dataclass(frozen=True, slots=True)
class Accepting:
    """The accepting of one checked request: `accept` blocks for it, and `accept_here` awaits it.

    A second one with the same `token`, within 15 minutes or within `remember`, gets the same answer. `trace` is the
    traceparent of the request.
    """

    ledger: Ledger
    wanted: VerificationRequest
    lane: Lane
    token: str
    remember: timedelta | None = None
    trace: str | None = None

    def call(self, request: int | None = None) -> ScriptCall[Acceptance]:
        """Return the call. `request` is the number that the request had before Redis forgot it."""
        wanted = self.wanted
        return self.ledger.accepting(
            wanted.number.e164,
            token=self.token,
            kind=wanted.kind(self.lane),
            lane=self.lane,
            channel=wanted.channel,
            alias=wanted.alias,
            subaccount=wanted.subaccount,
            country=wanted.number.country,
            requester=wanted.requester,
            reverify_after_days=wanted.reverify_after_days,
            remember=self.remember,
            trace=self.trace,
            request=request,
        )

    def repeat(self, request: int) -> None:
        """Accept the request once more, because Redis may have forgotten it, and send its message."""
        if self.ledger.do(self.call(request)).disposition is Disposition.ACCEPTED:
            number, account = self.wanted.number.e164, self.wanted.account
            send_message(message_of(number, request, self.lane, trace=self.trace, account=account))

    def checked(self, accepted: Acceptance) -> Acceptance:
        """Return the answer, or raise the error that it is."""
        if accepted.disposition is Disposition.COOLING_DOWN and accepted.until:
            raise errors.CoolingDown(accepted.until)
        if accepted.disposition is Disposition.CAPPED and accepted.until:
            raise errors.Capped(accepted.limit, accepted.until)
        if accepted.disposition is Disposition.OVERLOADED and accepted.until:
            raise errors.Overloaded(accepted.until, accepted.until + self.ledger.durations.request(self.lane))
        if accepted.disposition is Disposition.COUNTRY:
            raise errors.InvalidNumber(accepted.limit, mask(self.wanted.number.e164))
        return accepted


def accept(accepting: Accepting) -> Acceptance:
    """Have the ledger accept a checked request.

    Raises `CoolingDown`, `Capped`, `Overloaded`, or `InvalidNumber` if the number's country is not allowed.
    """
    ledger = accepting.ledger
    accepted = ledger.do(accepting.call())
    if accepted.disposition is Disposition.ACCEPTED:
        ledger.last_accepts.keep(partial(accepting.repeat, accepted.request))
    return accepting.checked(accepted)


async def accept_here(accepting: Accepting) -> Acceptance:
    """Do on asyncio what `accept` does."""
    here = await open_here()
    ledger = here.ledger(accepting.wanted.account)
    accepted = await ledger.do(accepting.call())
    if accepted.disposition is Disposition.ACCEPTED:
        here.accepts(ledger).keep(partial(accepting.repeat, accepted.request))
    return accepting.checked(accepted)
