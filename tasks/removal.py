"""`ringproof.remove`: has Plivo delete a verified number, and erases it here."""

import logging
from functools import partial
from typing import Final

from ringproof import runtime
from ringproof.batches.erasure import erase_number
from ringproof.celery.app import app
from ringproof.celery.messages import MaskedTask
from ringproof.errors import InvalidRequest, RingproofError
from ringproof.ledger.removal import end_removal, ordered_removal
from ringproof.phone.masking import mask
from worker.sending.queries import ask_at_slot
from worker.sending.retry import until_ledger_answers

REMOVE: Final = "ringproof.remove"

_log = logging.getLogger(__name__)


@app.task(base=MaskedTask, name=REMOVE, shared=False, throws=(RingproofError,))
def remove(handle: object = None, *_: object, **__: object) -> dict[str, bool]:
    """Have Plivo delete the number under a handle, and then erase it here. Returns which of both had the number.

    Raises `InvalidRequest` if `ringproof remove` has not ordered that. Raises the client's errors. Then nothing was
    erased here, and it is safe to order it again.

        {"at_plivo": True, "here": True}
    """
    ledger = runtime.ledger()
    phone_number = until_ledger_answers(lambda: ordered_removal(ledger, handle))
    if phone_number is None or not isinstance(handle, str):
        raise InvalidRequest("message", "not the handle of a removal", "order it with: ringproof remove NUMBER")
    at_plivo = ask_at_slot(ledger, partial(runtime.plivo().delete, phone_number))
    here = until_ledger_answers(lambda: erase_number(ledger, phone_number))
    until_ledger_answers(lambda: end_removal(ledger, handle))
    _log.info("removed %s", mask(phone_number))
    return {"at_plivo": at_plivo, "here": here}
