"""The body of `initiate_verification`: from an accepted request to a sent code."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final

from ringproof import errors, runtime
from ringproof.celery.messages import INITIATE, is_request, performs, send_message
from ringproof.celery.verification import VerificationTask, accept
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.queues import lane_of
from ringproof.ledger.request import VerificationRequest
from ringproof.phone.masking import mask_value
from worker.celery import shutdown
from worker.sending.attempt import attempt
from worker.sending.booking import asleep, book
from worker.sending.retry import until_ledger_answers

FOREIGN_MEMORY: Final = timedelta(hours=24)
"""How long a foreign message's id is remembered: it may be delivered again for as long as its broker keeps it."""


@performs(INITIATE)
def send_code(task: VerificationTask, *args: Any, request: Any = None, **kwargs: Any) -> None:
    """Send the code of an accepted request at its slot; accept first what another application has sent by name."""
    ledger, client = runtime.ledger(), runtime.plivo()
    if request is None:
        number, request = _accept_foreign(ledger, task.request, args, kwargs)
    else:
        number = _named(args, request)
    lane = lane_of(task.request.delivery_info["routing_key"])
    requests = [(number, request)]
    with shutdown.defer_sigterm():
        rest = book(ledger, requests, partial(attempt, ledger, client), asleep=asleep(ledger, requests, lane))
    if rest:
        # A new message, not Celery's Reject: requeuing in a warm shutdown was seen to hang the parent.
        send_message(number, request, lane)


def _accept_foreign(ledger: Ledger, message: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[str, int]:
    """Accept what another application sent by name, once per message id; nobody else knows of it, so insist."""
    lane = lane_of(str((message.delivery_info or {}).get("routing_key")))
    asked = VerificationRequest.read(args, kwargs, runtime.settings().region)
    number = asked.number.e164
    token = f"message:{message.id}:{number}"
    accepted = until_ledger_answers(lambda: accept(ledger, asked, lane, token=token, remember=FOREIGN_MEMORY))
    return number, accepted.request


def _named(args: Sequence[Any], request: Any) -> str:
    """Return the number that our own message names, beside its request."""
    if len(args) == 1 and is_request((args[0], request)):
        return str(args[0])
    raise errors.InvalidRequest("request", mask_value(request), "it is Ringproof's own; leave it out")
