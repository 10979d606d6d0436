"""Calls the ledger again until it answers."""

import logging
from collections.abc import Callable
from typing import Final, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_delay, wait_chain, wait_fixed

from ringproof.clock import boot_clock
from ringproof.errors import LedgerDamaged, LedgerUnavailable
from ringproof.tries import repeated
from worker.celery import shutdown

T = TypeVar("T")


PAUSES: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Seconds between two tries to reach the ledger. The last pause repeats until Redis is back."""


_log = logging.getLogger(__name__)


def until_ledger_answers(
    call: Callable[[], T],
    *,
    seconds: float = float("inf"),
    ends_with_worker: bool = False,
) -> T:
    """Call the ledger until it answers, and return the answer. A repeated call must count only once.

    Raises `LedgerUnavailable` after `seconds` without an answer, or when this worker's time to stop is over; with
    `ends_with_worker` as soon as this worker stops. Raises `LedgerDamaged` at once: the answer would always be the
    same.

        record = until_ledger_answers(lambda: ledger.read(number))
    """
    until = boot_clock() + seconds
    logged: set[str] = set()

    def may_help(error: BaseException) -> bool:
        return isinstance(error, LedgerUnavailable) and not isinstance(error, LedgerDamaged)

    def worker_ends() -> bool:
        return shutdown.is_grace_over() or (ends_with_worker and shutdown.is_stopping())

    def log_once(state: RetryCallState) -> None:
        """Log each cause once: a Redis that was away may come back without its replicas."""
        cause = str(state.outcome.exception() if state.outcome else "")
        if cause not in logged:
            logged.add(cause)
            _log.warning("the ledger is called again until it answers: %s", cause)

    def retrying() -> Retrying:
        has_run_out = stop_after_delay(until - boot_clock())
        return Retrying(
            retry=retry_if_exception(may_help),
            wait=wait_chain(*map(wait_fixed, PAUSES)),
            stop=lambda state: has_run_out(state) or worker_ends(),
            before_sleep=log_once,
            reraise=True,
        )

    return repeated(call, retrying)
