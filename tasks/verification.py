"""The body of `initiate_verification`: from an accepted request to a sent code."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from celery.exceptions import Ignore

from ringproof import errors, runtime
from ringproof.celery.messages import INITIATE, is_request, message_of, performs, send_again, send_message
from ringproof.celery.verification import Accepting, VerificationTask, accept
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.queues import lane_of
from ringproof.ledger.request import VerificationRequest
from ringproof.phone.masking import mask_value
from worker.celery import shutdown
from worker.sending.accounts import ANY_CHANNEL, check_account, work_of
from worker.sending.begin import begin_one
from worker.sending.process import sending
from worker.sending.retry import until_ledger_answers
from worker.sending.spans import begin_span

FOREIGN_MEMORY: Final = timedelta(hours=24)
"""How long the ledger remembers a foreign message's id: the broker may deliver the message again in that time."""


@performs(INITIATE)
def send_code(task: VerificationTask, *args: Any, request: Any = None, **kwargs: Any) -> None:
    """Begin an accepted request, and pass it on to the senders of this process. The message is done then.

    A message that another application sent by name has no request yet: the ledger accepts it first.
    """
    ours, account = sending(), check_account(kwargs.get("account"))
    if request is None:
        number, request = _accept_foreign(runtime.ledger(account), task, args, kwargs)
    else:
        number = _number_of(args, request)
    lane = lane_of(task.request.delivery_info["routing_key"])
    with shutdown.defer_sigterm(), begin_span(task.request, request=request, lane=lane), work_of(account):
        if account is not None:
            # Begun here it would keep the accounts of all others waiting while its own Redis is away.
            ours.take_in_hand([(number, request)], lane, ANY_CHANNEL, account)
            return
        try:
            is_done = begin_one(ours.ledger, ours.senders, number, request, lane)
        except errors.LedgerDamaged:
            raise
        except errors.LedgerUnavailable:  # this worker stops
            is_done = False
        if not is_done:
            # A new message, and not Celery's Reject: to requeue in a warm shutdown has hung the parent process.
            send_message(message_of(number, request, lane))


def _accept_foreign(
    ledger: Ledger, task: VerificationTask, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[str, int]:
    """Accept a request that another application sent by name, once for each message id.

    Only this message knows of the request, so the call is repeated until Redis answers. If this worker's time to stop
    is over before that, the message is sent again: Celery acknowledges the one of a task that fails.
    """
    message = task.request
    lane = lane_of(str((message.delivery_info or {}).get("routing_key")))
    wanted = VerificationRequest.read(args, kwargs, runtime.region())
    number = wanted.number.e164
    token = f"message:{message.id}:{number}"
    accepting = Accepting(ledger, wanted, lane, token, remember=FOREIGN_MEMORY)
    try:
        accepted = until_ledger_answers(lambda: accept(accepting))
    except errors.LedgerDamaged:
        raise
    except errors.LedgerUnavailable:
        if send_again(task):
            raise Ignore from None
        raise
    return number, accepted.request


def _number_of(args: Sequence[Any], request: Any) -> str:
    """Return the number of a message that Ringproof sent. Raises `InvalidRequest` if it is another's message."""
    if len(args) == 1 and is_request((args[0], request)):
        return str(args[0])
    raise errors.InvalidRequest("request", mask_value(request), "it is Ringproof's own; leave it out")
