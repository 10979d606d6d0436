"""The log of a worker or beat: one line for each outcome, as text or as JSON, without any phone number.

Ringproof masks numbers where it logs them. The filter here masks them in the lines of others, too: Celery logs messages
of unknown tasks in full, and urllib3 logs URLs.
"""

import json
import logging
import re
import socket
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import celery.app.log

from ringproof.clock import iso
from ringproof.phone.masking import redact
from ringproof.printable import printable
from ringproof.runtime import settings
from worker.celery.beat import FEED, SWEEP, VISIT
from worker.celery.consumers import DELIVER
from worker.celery.log_bursts import Bursts
from worker.celery.outcome_log import KEYS, Event

REGULAR_TASK = re.compile(rf"Task ({SWEEP}|{FEED}|{VISIT}|{DELIVER}|ringproof\.reconcile)\[")
"""Matches Celery's log lines about the tasks that run even in an idle installation."""

_INDENTED = "\n    "
"""The lines of a message after its first one are indented, so that none of them passes for another message."""

FORMAT = "%(asctime)s %(levelname)-7s %(processName)s %(message)s"

FOREIGN_KEYS: Final = ("batch", "api_id")
"""The values that a person or Plivo has chosen; Ringproof makes the others itself."""


class Redacting(logging.Filter):
    """Masks phone numbers and secrets in a log record, so that no handler gets them, ours or another's."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        self._secrets = tuple(secret for secret in secrets if secret)

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask the record in place, and return True: every record is logged."""
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001  # a line that cannot be written must not end what was about to be logged
            message = f"{record.msg} (its arguments could not be written)"
        record.msg, record.args = self._clean(message), ()
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = self._clean(record.exc_text)
            record.exc_info = None
        if record.stack_info:
            record.stack_info = self._clean(record.stack_info)
        own = vars(record)
        if _is_about_a_number(own):
            own.update({key: self._clean(own[key]) for key in FOREIGN_KEYS if key in own})
        return True

    def _clean(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "•••")
        return printable(redact(text), keep="\n").replace("\n", _INDENTED)


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return what a log line says beside its sentence; nothing if it is about no number, or another's."""
    own = vars(record)
    return {key: own[key] for key in KEYS if key in own} if _is_about_a_number(own) else {}


def _is_about_a_number(own: Mapping[str, Any]) -> bool:
    return isinstance(own.get("event"), Event)


class TextLines(logging.Formatter):
    """Formats a record for people; what it says beside its sentence comes after it. The sentence names the number.

    2026-05-04 15:00:00,000 INFO    ForkPoolWorker-1 code_sent +1•••••••23 sms 84 ms event=attempt request=1764376884 …
    """

    def __init__(self) -> None:
        super().__init__(FORMAT)
        self._host = socket.gethostname()

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        """Return the line without its traceback."""
        line, fields = super().formatMessage(record), fields_of(record)
        if not fields:
            return line
        fields.pop("number", None)
        return " ".join([line, *(f"{key}={_plain(value)}" for key, value in fields.items()), f"host={self._host}"])


def _plain(value: Any) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if " " in text else text  # the name of a batch may have a space


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object in a line.

        {"time": "2026-05-04T15:00:00.000Z", "level": "info", "logger": "worker.sending.results", "host": "vm",
         "process": "ForkPoolWorker-1", "message": "code_sent +1•••••••23 sms 84 ms", "event": "attempt", …}

    An error has its `traceback`, too.
    """

    def __init__(self) -> None:
        super().__init__()
        self._host = socket.gethostname()

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        line: dict[str, Any] = {
            "time": iso(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "host": self._host,
            "process": record.processName,
            "message": record.getMessage(),
            **fields_of(record),
        }
        if record.exc_text:
            line["traceback"] = record.exc_text
        return json.dumps(line, ensure_ascii=False)


class Logging(celery.app.log.Logging):
    """Sets up the logging of Ringproof's own workers and beat. The Celery of a host project keeps its own."""

    already_setup = False  # Celery calls it more than once in a process

    def setup_logging_subsystem(
        self,
        loglevel: int | str | None = None,
        logfile: str | None = None,
        **_: Any,
    ) -> None:
        """Set up logging once."""
        if not Logging.already_setup:
            Logging.already_setup = True
            set_up_logging(logging.WARNING if loglevel is None else loglevel, logfile)


def set_up_logging(level: int | str, logfile: str | None = None) -> None:
    """Send all log lines of this process to one handler, whose filter masks numbers and secrets."""
    current = settings()
    handler = logging.FileHandler(logfile) if logfile else logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if current.log_format == "json" else TextLines())
    handler.addFilter(Bursts())  # before the next one, which puts the arguments into the text
    redacting = Redacting(current.secrets)
    handler.addFilter(redacting)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in (
        "",
        "celery",
        "celery.task",
        "celery.worker",
        "kombu",
        "urllib3",
        "urllib3.connectionpool",
    ):
        logging.getLogger(name).addFilter(redacting)
    for name in ("ringproof", "worker", "tasks"):  # outcomes are logged at Celery's default level (WARNING), too
        logging.getLogger(name).setLevel(min(logging.INFO, root.level))
    for name in ("celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(name).addFilter(_is_no_tick)
    logging.captureWarnings(capture=True)


def _is_no_tick(record: logging.LogRecord) -> bool:
    """Drop Celery's two lines for each regular task, which runs each second or so and logs by itself what it did."""
    return record.levelno > logging.INFO or not REGULAR_TASK.search(record.getMessage())
