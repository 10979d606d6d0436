"""Celery's remote control, for which a request is one of the ledger's.

To Celery, a revoked id is one whose message the workers drop. Here a message decides nothing: the sweep would send
another one, and the code would go out. So an id of Ringproof's cancels its request in the ledger.
"""

from collections.abc import Iterable
from typing import Any, Final

from celery.app import control
from kombu.exceptions import OperationalError

from ringproof import runtime
from ringproof.celery.backend import cancel_by_id
from ringproof.errors import InvalidRequest, LedgerUnavailable
from ringproof.ledger.answers import Settled
from ringproof.ledger.result_id import mask_id, parse_result_id

NOT_TERMINATED: Final = (
    "leave it out: to end a worker's process would leave the numbers that it sends to in doubt; "
    "ringproof cancel NUMBER cancels a request that has not begun"
)
NO_STAMPS: Final = (
    "no request is found by stamps; call revoke with the ids of the results, or use ringproof cancel NUMBER"
)
_STATUS: Final = "it has begun or ended, or is unknown; ringproof status NUMBER shows its state"


class Control(control.Control):
    """What `app.control` is. `AsyncResult.revoke`, `ResultSet.revoke` and Flower's button call it."""

    def revoke(
        self,
        task_id: Any,
        destination: Any = None,
        terminate: bool = False,
        signal: Any = None,  # noqa: ARG002  # Celery's: of `terminate`
        **options: Any,
    ) -> Any:
        """Cancel the requests of these ids in the ledger, and have the workers revoke the ids of messages.

        Raises `InvalidRequest` for `terminate=True`, and then does nothing. Raises it, too, if a request has begun or
        ended; all others are cancelled. Raises `LedgerUnavailable`.
        """
        if terminate:
            raise InvalidRequest("terminate", "True", NOT_TERMINATED)
        ids = [task_id] if isinstance(task_id, str) else list(task_id)
        messages = [one for one in ids if parse_result_id(one) is None]
        replies = self._tell_workers(messages, destination, options) if messages else None
        if refused := refused_by_ledger(one for one in ids if one not in messages):
            shown = ", ".join(map(mask_id, refused[:3])) + (f" and {len(refused) - 3} more" if refused[3:] else "")
            raise InvalidRequest("task_id", shown, _STATUS)
        return replies

    def _tell_workers(self, messages: list[str], destination: Any, options: dict[str, Any]) -> Any:
        try:
            return super().revoke(messages, destination=destination, **options)
        except OperationalError as error:
            cause = type(error.__cause__ or error).__name__
        raise LedgerUnavailable(runtime.ledger().shown_url, cause)

    def revoke_by_stamped_headers(self, headers: Any, *_: Any, **__: Any) -> Any:  # noqa: ARG002  # Celery's signature
        """Raise `InvalidRequest`: a message that the sweep sends again has no stamps."""
        raise InvalidRequest("headers", "given", NO_STAMPS)


def refused_by_ledger(ids: Iterable[str]) -> list[str]:
    """Cancel the requests of these results; return those that the ledger did not cancel."""
    return [one for one in ids if cancel_by_id(one) is Settled.STALE]
