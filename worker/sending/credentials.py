"""Has a worker whose credentials Plivo refuses leave the lanes to the others, until Plivo knows it again."""

import logging
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NoReturn

from celery import bootsteps
from celery.exceptions import Ignore

from ringproof import runtime
from ringproof.celery.messages import send_again
from ringproof.errors import LedgerUnavailable, RingproofError
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.plivo_credentials import Standing, check_credentials
from ringproof.ledger.queues import LANES
from worker.celery import shutdown
from worker.sending import refusal
from worker.sending.queries import ask_at_slot

if TYPE_CHECKING:
    from ringproof.plivo.client import PlivoClient

CHECK_SECONDS: Final = 5.0
"""How often it asks the ledger: other workers come and go. That is one short script of Redis."""

NEWER_SECONDS: Final = 1.0
"""How long a message waits here that only a newer version can perform: other workers have time to take it then."""

REPEAT_SECONDS: Final = 600.0
"""How often the log says again that the credentials are wrong: somebody must act on it."""

_SET_THEM: Final = "set the right PLIVO_AUTH_ID and PLIVO_AUTH_TOKEN, and restart it"
_LEAVES: Final = f"credentials unknown to Plivo (401): this worker leaves all sending to the others; {_SET_THEM}"
_PAUSED: Final = f"credentials unknown to Plivo (401), as those of all workers: all sending is paused; {_SET_THEM}"

_log = logging.getLogger(__name__)


def send_to_others(task: Any, ledger: Ledger, kwargs: Mapping[str, Any] | None = None) -> NoReturn:
    """Have another worker perform the message that this task performs: with the same id, and these `kwargs` instead.

    `ledger` is that of the account whose credentials Plivo does not know here.
    Raises Celery's `Ignore`: the other worker writes the result. Raises `LedgerUnavailable` if Redis does not answer.
    """
    refusal.wait_until_left(ledger)
    if send_again(task, kwargs):
        raise Ignore
    raise LedgerUnavailable(runtime.ledger().shown_url, "it took no message for another worker")


def send_to_newer(task: Any) -> NoReturn:
    """Have a worker of a newer version perform the message that this task performs. Raises as `send_to_others` does.

    It may come back to this version some times, so it goes after a pause.
    """
    shutdown.sleep_unless_stopping(NEWER_SECONDS)
    if send_again(task):
        raise Ignore
    raise LedgerUnavailable(runtime.ledger().shown_url, "it took no message for a newer worker")


def check_once(ledger: Ledger, client: "PlivoClient", *, sends: bool) -> Standing:
    """Return the standing of this worker. If its probe is due, ask Plivo whether it knows the credentials again.

    `sends` says whether the worker takes messages of a lane. Raises `LedgerUnavailable`.
    """
    standing = check_credentials(ledger, sends=sends)
    if not standing.probes:
        return standing
    try:
        ask_at_slot(ledger, client.probe)
    except RingproofError as error:
        _log.info("Plivo was asked whether it knows the credentials again: %s", error)
    return check_credentials(ledger, sends=sends)


class Watch(bootsteps.StartStopStep):
    """Watches in a thread of the main process how Plivo sees the credentials, and leaves the lanes or returns to them.

    Other queues, such as that of the ticks, need no credentials: the worker goes on with them.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, c: Any, **options: Any) -> None:
        super().__init__(c, **options)
        refusal.share_flags()
        self._queues: list[str] = []
        self._has_left = False
        self._said, self._said_at = "", 0.0
        self._ends = threading.Event()

    def start(self, c: Any) -> None:
        """Begin the thread; called again after each lost connection."""
        if self._has_left:
            self._leave(c)
        else:
            self._queues = list(c.app.amqp.queues.consume_from)
        self._ends = threading.Event()
        threading.Thread(target=self._watch, args=(c, self._ends), name="credentials", daemon=True).start()

    def stop(self, _c: Any) -> None:
        """End the thread."""
        self._ends.set()
        refusal.wake()

    @property
    def _lanes(self) -> list[str]:
        return [name for name in self._queues if name in LANES]

    def _watch(self, c: Any, ends: threading.Event) -> None:
        while not ends.wait(refusal.POLL_SECONDS):
            refusal.take_notes()
            try:
                self._follow(c, check_once(runtime.ledger(), runtime.plivo(), sends=bool(self._lanes)))
            except LedgerUnavailable:
                pass  # the consumer says that Redis is away
            except Exception:  # noqa: BLE001  # the thread would end with it, and nobody would learn of it
                _log.exception("an error of Ringproof's own; the credentials are looked at again")
            refusal.wait_for_note(CHECK_SECONDS)

    def _follow(self, c: Any, standing: Standing) -> None:
        self._say(standing)
        if standing.leaves_work != self._has_left:
            self._has_left = standing.leaves_work
            c.call_soon(self._leave if self._has_left else self._return, c)  # the consumer is not thread-safe

    def _leave(self, c: Any) -> None:
        for name in self._lanes:
            if c.task_consumer.consuming_from(name):
                c.cancel_task_queue(name)
        refusal.set_left(True)

    def _return(self, c: Any) -> None:
        refusal.set_left(False)
        c.app.amqp.queues.select(self._queues)  # for the next connection
        for name in self._lanes:
            c.add_task_queue(name)

    def _say(self, standing: Standing) -> None:
        """Log how Plivo sees the credentials: when that changes, and again while they are refused."""
        said = "" if standing.unknown_since is None else _LEAVES if standing.leaves_work else _PAUSED
        if not self._lanes or (said == self._said and time.monotonic() < self._said_at + REPEAT_SECONDS):
            return
        if said:
            _log.error(said)
        elif self._said:
            _log.info("credentials known to Plivo again: this worker sends")
        self._said, self._said_at = said, time.monotonic()
