"""One line per outcome, as text or as JSON, with nobody's number in it.

Numbers are masked where they are logged; the filter here is the second line, for what others log: Celery dumps
messages that it does not know, urllib3 names URLs.
"""

import json
import logging
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import celery.app.log

from ringproof.clock import iso
from ringproof.phone.masking import redact
from ringproof.runtime import settings

FORMAT = "%(asctime)s %(levelname)-7s %(processName)s %(message)s"


class Redacting(logging.Filter):
    """Rewrites a record so that no handler, ours or another's, sees a phone number or one of the secrets."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        self._secrets = tuple(secret for secret in secrets if secret)

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, rewritten."""
        try:
            message = record.getMessage()
        except (TypeError, ValueError):  # whoever logs a wrong format loses neither the line nor the process
            message = f"{record.msg} {record.args!r}"
        record.msg, record.args = self._clean(message), ()
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = self._clean(record.exc_text)
            record.exc_info = None
        if record.stack_info:
            record.stack_info = self._clean(record.stack_info)
        return True

    def _clean(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "•••")
        return redact(text)


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, process, message, and the traceback if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        line: dict[str, Any] = {
            "time": iso(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.processName,
            "message": record.getMessage(),
        }
        if record.exc_text:
            line["traceback"] = record.exc_text
        return json.dumps(line, ensure_ascii=False)


class Logging(celery.app.log.Logging):
    """Sets up the logging of a worker or beat of this app; a host project's Celery keeps its own."""

    already_setup = False  # Celery asks for it more than once in a process

    def setup_logging_subsystem(
        self,
        loglevel: int | str | None = None,
        logfile: str | None = None,
        **_: Any,
    ) -> None:
        """Send everything to one handler, whose filter lets no number through."""
        if Logging.already_setup:
            return
        Logging.already_setup = True
        current = settings()
        handler = logging.FileHandler(logfile) if logfile else logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonLines() if current.log_format == "json" else logging.Formatter(FORMAT))
        redacting = Redacting(current.secrets)
        handler.addFilter(redacting)
        root = logging.getLogger()
        root.handlers[:] = [handler]
        root.setLevel(logging.WARNING if loglevel is None else loglevel)
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
        for name in ("ringproof", "worker", "tasks"):  # an outcome's line is wanted at Celery's default level, too
            logging.getLogger(name).setLevel(min(logging.INFO, root.level))
        for name in ("celery.worker.strategy", "celery.app.trace"):
            logging.getLogger(name).addFilter(_is_no_tick)
        logging.captureWarnings(capture=True)


def _is_no_tick(record: logging.LogRecord) -> bool:
    """Drop Celery's two lines for each tick, one a second: what it did, it says itself."""
    told = record.getMessage()
    return record.levelno > logging.INFO or not any(
        f"Task ringproof.{tick}[" in told for tick in ("sweep", "reconcile")
    )
