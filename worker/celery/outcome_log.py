"""What a log line about one number says beside its sentence, under the same keys in text and in JSON."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from ringproof.phone.masking import mask

if TYPE_CHECKING:
    from ringproof.ledger.record import Record

KEYS: Final = (
    *("event", "account", "number", "request", "lane", "batch", "row", "channel", "state", "reason"),
    *("http_status", "api_id", "slot_late_ms", "ms"),
)
"""The keys in their order in a line; a key without a value is left out. `docs/operating/logs.md` explains them."""


class Event(StrEnum):
    """The step that gave a number its state. Installations search their logs for it: never give one a second meaning.

    `docs/operating/logs.md` explains each.
    """

    ATTEMPT = "attempt"
    BEGIN = "begin"
    SWEEP = "sweep"
    LOOK_UP = "look_up"
    LIST = "list"
    CONFIRM = "confirm"
    REMOVE = "remove"


_account: ContextVar[str | None] = ContextVar("account", default=None)


@contextmanager
def of_account(account: str | None) -> Iterator[None]:
    """Have the log lines about numbers, within the block and this thread, name their account."""
    before = _account.set(account)
    try:
        yield
    finally:
        _account.reset(before)


def about(event: Event, number: str, record: "Record | None" = None, **facts: Any) -> dict[str, Any]:
    """Return the `extra` of a log line about a number. It holds the number masked.

    The record gives what it has; `facts` are other keys of KEYS, or other values.

        _log.info("verified %s", mask(number), extra=about(Event.CONFIRM, number, record, state=State.VERIFIED))
    """
    fields: dict[str, Any] = {"event": event, "account": _account.get(), "number": mask(number)}
    if record is not None:
        fields |= {
            "request": record.request,
            "lane": record.lane,
            "batch": record.batch,
            "row": record.row,
            "channel": record.channel,
            "state": record.state,
            "reason": record.reason,
        }
    fields |= facts
    return {name: value for name, value in fields.items() if value is not None and value != ""}
