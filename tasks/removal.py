"""`ringproof.remove`: has Plivo delete a verified number, and erases it here."""

import logging
from functools import partial
from typing import Final

from ringproof import runtime
from ringproof.batches.erasure import erase_number
from ringproof.celery.app import app
from ringproof.celery.messages import MaskedTask
from ringproof.errors import InvalidRequest, RingproofError, Unauthorized
from ringproof.ledger.plivo_credentials import leaves_work
from ringproof.ledger.removal import end_removal, ordered_removal
from ringproof.phone.masking import mask
from worker.celery.outcome_log import Event, about, of_account
from worker.sending.accounts import check_account
from worker.sending.credentials import send_to_others
from worker.sending.queries import ask_at_slot
from worker.sending.retry import until_ledger_answers

REMOVE: Final = "ringproof.remove"

_log = logging.getLogger(__name__)


@app.task(base=MaskedTask, name=REMOVE, shared=False, throws=(RingproofError,))
def remove(handle: object = None, *_: object, account: object = None, **__: object) -> dict[str, bool]:
    """Have Plivo delete the number under a handle, and then erase it here. Returns which of both had the number.

    Raises `InvalidRequest` if `ringproof remove` has not ordered that. Raises the client's errors. Then nothing was
    erased here, and it is safe to order it again.

        {"at_plivo": True, "here": True}
    """
    name = check_account(account)
    ledger, client = runtime.ledger(name), runtime.plivo(name)
    phone_number = until_ledger_answers(lambda: ordered_removal(ledger, handle))
    if phone_number is None or not isinstance(handle, str):
        raise InvalidRequest("message", "not the handle of a removal", "order it with: ringproof remove NUMBER")
    record = until_ledger_answers(lambda: ledger.read(phone_number))
    is_test = record is not None and record.is_test
    try:
        at_plivo = not is_test and ask_at_slot(ledger, partial(client.delete, phone_number))
    except Unauthorized:
        if not until_ledger_answers(lambda: leaves_work(ledger)):
            raise
        send_to_others(remove, ledger)
    here = until_ledger_answers(lambda: erase_number(ledger, phone_number))
    until_ledger_answers(lambda: end_removal(ledger, handle))
    with of_account(name):
        _log.info("removed %s", mask(phone_number), extra=about(Event.REMOVE, phone_number))
    return {"at_plivo": at_plivo, "here": here}
