"""`ringproof.remove`: has Plivo delete a verified number, and erases it here."""

import logging
from functools import partial
from typing import Final

from ringproof import runtime
from ringproof.batches.erasure import erase_number
from ringproof.celery.app import app
from ringproof.celery.messages import MaskedTask
from ringproof.errors import RingproofError
from ringproof.phone.masking import mask
from worker.sending.queries import ask_at_slot
from worker.sending.retry import until_ledger_answers

REMOVE: Final = "ringproof.remove"

_log = logging.getLogger(__name__)


@app.task(base=MaskedTask, name=REMOVE, shared=False, throws=(RingproofError,))
def remove(phone_number: str) -> dict[str, bool]:
    """Have Plivo delete a verified number, and then erase it here. Returns which of both had the number.

    Raises the client's errors. Then nothing was erased here, and it is safe to call this again.

        {"at_plivo": True, "here": True}
    """
    ledger = runtime.ledger()
    at_plivo = ask_at_slot(ledger, partial(runtime.plivo().delete, phone_number))
    here = until_ledger_answers(lambda: erase_number(ledger, phone_number))
    _log.info("removed %s", mask(phone_number))
    return {"at_plivo": at_plivo, "here": here}
