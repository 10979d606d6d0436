"""The agenda: every number that is not final is on it, with the moment at which it needs attention."""

from collections.abc import Mapping

from ringproof.ledger.answers import AgendaAction, AgendaResult
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.queues import LONGEST_QUEUE
from ringproof.ledger.record import Lane


def work_off_agenda(ledger: Ledger, limit: int, queues: Mapping[Lane, str]) -> list[AgendaResult]:
    """Act on at most `limit` due entries, oldest first; return what was done. `queues` are the lanes' Celery queues.

    The script makes every change of state. The caller sends the messages of ENQUEUE and LOOK_UP. If it dies before it
    has sent them nothing is lost: the entries are due again.
    """
    results = ledger.run_script("agenda/work_off", [queues[lane] for lane in Lane], [limit, LONGEST_QUEUE])
    return [
        AgendaResult(AgendaAction(action), number, int(request), Lane(lane), channel)
        for action, number, request, lane, channel in results
    ]


def release_refused(ledger: Ledger, limit: int) -> int:
    """Queue at most `limit` numbers that wait for their destination and may be sent to now; return how many.

    While Plivo refuses a destination, one number is queued for each try. Once Plivo takes codes there again, all are
    queued. Work off the agenda next: it says whose messages to send.
    """
    return int(ledger.run_script("agenda/release", args=[limit]))


def repair_agenda(ledger: Ledger, records: int) -> int:
    """Check about so many records, from where the last call stopped, and put missing entries back on the agenda.

    Returns how many it put back. Ringproof loses no entry; an operator may delete one with `redis-cli`.
    """
    place = ledger.keys.repair_cursor
    cursor = int(ledger.run("get", place) or 0)
    cursor, keys = ledger.run("scan", cursor, match=ledger.keys.record("*"), count=records)
    ledger.run("set", place, cursor)
    numbers = list(map(ledger.keys.number, keys))
    return int(ledger.run_script("agenda/repair", keys, numbers)) if keys else 0
