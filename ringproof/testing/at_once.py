"""The messages of the eager mode: each is performed in the thread that sends it, by the bodies that workers run."""

import json
import logging
import threading
import uuid
import warnings
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from celery.app.trace import build_tracer

from ringproof import runtime
from ringproof.celery.app import app
from ringproof.celery.messages import INITIATE, WORK_CHUNK, WORK_PEOPLE
from ringproof.celery.people import take_people
from ringproof.clock import boot_clock
from ringproof.ledger.answers import Begun
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.queues import lane_of
from ringproof.ledger.record import Lane
from worker.celery import TASKS
from worker.celery.outcome_log import of_account
from worker.sending.accounts import check_account
from worker.sending.attempt import SlotRevoked, attempt
from worker.sending.begin import begin_portion
from worker.sending.events import want_events
from worker.sending.quiet import QuietNumbers
from worker.sending.results import Results
from worker.sending.senders import Lead

PATIENCE_SECONDS: Final = 0.5
"""How long a number's turn is waited for. Turns are microseconds apart, unless Plivo has answered 429."""

_log = logging.getLogger(__name__)


def load_bodies() -> None:
    """Load what workers run."""
    for name in TASKS:
        app.loader.import_task_module(f"tasks.{name}")


class AtOnce:
    """Performs messages in the place of the broker and the workers. Thread-safe: one is performed at a time.

    A message that is sent meanwhile is performed after it, and before the outermost call returns.
    """

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._turn = threading.RLock()
        self._is_performing = False

    def send(
        self, name: str, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> Any:
        """Perform a message, as `Celery.send_task` would send it; return its result."""
        message_id = options.get("task_id") or str(uuid.uuid4())
        given, named = json.loads(json.dumps([args or (), kwargs or {}]))
        self._waiting.append(lambda: self._perform(name, message_id, given, named, options))
        # The threads of a re-verification send these, and the performing thread waits for them.
        if not (name == WORK_CHUNK and self._is_performing):
            with self._turn:
                self._work_off()
        return (options.get("result_cls") or app.AsyncResult)(message_id)

    def _work_off(self) -> None:
        """Perform all that waits, unless this thread does so already."""
        if self._is_performing:
            return
        self._is_performing = True
        try:
            while self._waiting:
                try:
                    self._waiting.popleft()()
                except Exception:  # noqa: BLE001  # a worker logs it, and who has sent the message learns nothing of it
                    _log.exception("a message was not performed")
        finally:
            self._is_performing = False

    def _perform(
        self, name: str, message_id: str, args: list[Any], kwargs: dict[str, Any], options: Mapping[str, Any]
    ) -> None:
        lane, account = lane_of(options["queue"]), check_account(kwargs.get("account"))
        if name == INITIATE:
            _begin([(args[0], kwargs["request"])], lane, account)
        elif name == WORK_CHUNK:
            _begin([(number, request) for number, request in args[0]], lane, account)
        elif name == WORK_PEOPLE:
            _begin(take_people(runtime.ledger(account)), Lane.INTERACTIVE, account)
        else:
            _trace(name, message_id, args, kwargs, options)


def _trace(name: str, message_id: str, args: list[Any], kwargs: dict[str, Any], options: Mapping[str, Any]) -> None:
    """Have Celery perform a task as in a worker: it stores the result, and logs an error."""
    task = app.tasks[name]
    request = {
        "id": message_id,
        "root_id": message_id,
        "task": name,
        "args": args,
        "kwargs": kwargs,
        "delivery_info": {"exchange": "", "routing_key": options["queue"], "redelivered": False},
        "hostname": "eager",
        "headers": options.get("headers") or {},
        "argsrepr": options.get("argsrepr", ""),
        "kwargsrepr": options.get("kwargsrepr", ""),
        "ignore_result": options.get("ignore_result", False),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Celery's own, of a command of Redis
        # Not Celery's trace_task: it would keep the tracer, with this world's results, for the next one.
        build_tracer(name, task, app=app)(message_id, args, kwargs, request)


def _begin(requests: Sequence[tuple[str, int]], lane: Lane, account: str | None) -> None:
    """Begin accepted numbers, and send to those whose turn it is. The others stay queued: the agenda has them."""
    with of_account(account):
        ledger = runtime.ledger(account)
        want_events(ledger)
        senders = _SendersHere(ledger, account)
        quiet_until = QuietNumbers(ledger, lane).among(requests)
        ends = boot_clock() + PATIENCE_SECONDS
        while requests and (left := ends - boot_clock()) > 0:
            portion = begin_portion(ledger, senders, requests, quiet_until, left)
            if portion.is_refused or portion.next_turn > ends:
                return
            requests = portion.later


class _SendersHere:
    """The senders of one account: they send in this thread."""

    def __init__(self, ledger: Ledger, account: str | None) -> None:
        self.lead = Lead()
        self._ledger, self._client, self._results = ledger, runtime.plivo(account), Results(ledger)

    def send(self, begun: Begun, asked_at: float) -> None:
        """Send to a number that was begun, and write the result."""
        try:
            self._results.write(attempt(self._ledger, self._client, begun, asked_at))
        except SlotRevoked:
            _log.debug("a slot was revoked; the agenda has its number")
