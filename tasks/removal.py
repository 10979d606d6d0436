"""`ringproof.remove`: a number is taken off Plivo's list of verified ones, and forgotten here."""

import logging
from functools import partial
from typing import Final

from tasks.asking import paid
from tasks.attempt import insist
from tasks.messages import MaskedTask
from worker import runtime
from worker.celery import app
from worker.erasure import erase
from worker.errors import RingproofError
from worker.phone import mask

REMOVE: Final = "ringproof.remove"

_log = logging.getLogger(__name__)


@app.task(base=MaskedTask, name=REMOVE, shared=False, throws=(RingproofError,))
def remove(phone_number: str) -> dict[str, bool]:
    """Have Plivo forget a number and then this Redis; say of both whether they knew it.

    Raises what the client does, and then nothing was changed here: asking again is safe.
    """
    ledger = runtime.ledger()
    at_plivo = paid(ledger, partial(runtime.plivo().delete, phone_number))
    here = insist(lambda: erase(ledger, phone_number))
    _log.info("removed %s", mask(phone_number))
    return {"at_plivo": at_plivo, "here": here}
