"""All records of the ledger, or those of one of its sorted sets, some hundred at a time: memory does not grow.

Redis' SCAN walks through the keys, so there is no index to keep, and none that could be wrong. SCAN returns every key
that is there from its first step to its last one. In rare cases it returns one twice, when the number of keys has
changed much. Another Redis process could not go on with its cursor, so a restart in the middle is an error. INFO shows
it; if the provider forbids INFO, a restart is not noticed.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from ringproof.errors import LedgerUnavailable
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import Record

AT_ONCE: Final = 500
"""Records that one round trip reads."""


def all_records(ledger: Ledger) -> Iterator[Record]:
    """Yield the records of all numbers, each as it is when it is read. This reads all keys.

    Raises `LedgerUnavailable`, also if Redis was restarted or replaced in the middle: then start again.
    """
    for numbers in number_pages(ledger):
        yield from _records(ledger, numbers)


def number_pages(ledger: Ledger) -> Iterator[list[str]]:
    """Yield all numbers, some hundred at a time. Failures are those of `all_records`."""
    for keys in _scanned(ledger, "scan", match=ledger.keys.record("*")):
        yield list(map(ledger.keys.number, keys))


def agenda_pages(ledger: Ledger) -> Iterator[list[str]]:
    """Yield the numbers of the agenda: those that are not final. Failures are those of `all_records`."""
    for scored in _scanned(ledger, "zscan", ledger.keys.agenda):
        yield [number for number, _ in scored]


def records_of(ledger: Ledger, key: str) -> Iterator[Record]:
    """Yield the records of the numbers in a sorted set. Failures are those of `all_records`."""
    for scored in _scanned(ledger, "zscan", key):
        yield from _records(ledger, [number for number, _ in scored])


def _records(ledger: Ledger, numbers: Sequence[str]) -> Iterator[Record]:
    yield from (record for record in ledger.read_many([(number, None) for number in numbers]) if record)


def _scanned(ledger: Ledger, command: str, *key: str, match: str | None = None) -> Iterator[list[Any]]:
    which_process = [("info", "server")] if _allows_info(ledger) else []
    cursor, process = 0, None
    while True:
        (cursor, names), *servers = ledger.run_all((command, *key, cursor, match, AT_ONCE), *which_process)
        for server in servers:
            if process not in {None, server.get("run_id")}:
                raise LedgerUnavailable(ledger.shown_url, "it was restarted while all records were read; start again")
            process = server.get("run_id")
        if names:
            yield names
        if not cursor:
            return


def _allows_info(ledger: Ledger) -> bool:
    try:
        ledger.run("info", "server")
    except LedgerUnavailable as error:
        if error.is_refusal:
            return False
        raise
    return True
