"""A message as the worker's parent shows it in logs, events and `inspect`: without its arguments."""

import logging
from typing import Any

from celery.worker.request import Request

from ringproof.celery.control import refused_by_ledger
from ringproof.celery.messages import requests_of
from ringproof.errors import LedgerUnavailable

_log = logging.getLogger(__name__)


class MaskedRequest(Request):
    """Shows the description of the arguments that `ringproof.celery.envelope` leaves, and never the arguments."""

    def revoked(self) -> bool:
        """Whether an operator has revoked this message. Then its requests are cancelled: the sweep sends no other one.

        If Redis does not answer, they are not cancelled, and a log line says so.
        """
        was_dropped: bool = self._already_revoked
        is_revoked: bool = super().revoked()
        if is_revoked and not was_dropped:
            try:
                refused_by_ledger(requests_of(self.type, self.args, self.kwargs))
            except LedgerUnavailable as error:
                _log.error(
                    "a revoked message is dropped, but its requests are not cancelled: %s; revoke it again", error
                )
        return is_revoked

    def info(self, safe: bool = False) -> dict[str, Any]:  # noqa: ARG002  # Celery's signature
        """Return what `inspect` shows."""
        shown: dict[str, Any] = super().info(safe=True)
        return shown
