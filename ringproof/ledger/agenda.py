"""The agenda: every number that is not final is on it, with the moment at which it needs attention."""

import math
from collections.abc import Mapping
from datetime import timedelta
from typing import NamedTuple

from ringproof.ledger.answers import AgendaAction, AgendaResult
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.plivo_list import ListScan
from ringproof.ledger.queues import LONGEST_QUEUE, claim_tick
from ringproof.ledger.record import Lane, reason_of, state_of
from ringproof.ledger.row_outcomes import LISTS


def work_off_agenda(ledger: Ledger, limit: int, queues: Mapping[Lane, str]) -> list[AgendaResult]:
    """Act on at most `limit` due entries, oldest first; return what was done. `queues` are the lanes' Celery queues.

    The script makes every change of state. The caller sends the messages of ENQUEUE and LOOK_UP. If it dies before it
    has sent them nothing is lost: the entries are due again.
    """
    results = ledger.run_script("agenda/work_off", [queues[lane] for lane in Lane], [limit, LONGEST_QUEUE])
    return [
        AgendaResult(
            *(AgendaAction(action), number, int(request), Lane(lane), channel),
            *(state_of(state), reason_of(reason), batch or None, row or None),
        )
        for action, number, request, lane, channel, state, reason, batch, row in results
    ]


def is_anything_due(ledger: Ledger) -> bool:
    """Whether the sweep has something to do now.

    That is an entry that is due, a pause, numbers that wait for others, or a scan of Plivo's list that is requested.
    """
    agenda = _read(ledger)
    return agenda.is_looked_at_each_second or agenda.next_ms <= (agenda.now_ms // 1000 + 1) * 1000


def next_due(ledger: Ledger) -> timedelta | None:
    """Return after what time the sweep has something to do for this ledger; None if nothing is on its agendas.

    A pause, numbers that wait for others, and a scan of Plivo's list are looked at each second.
    """
    agenda = _read(ledger)
    if agenda.is_looked_at_each_second:
        return timedelta(seconds=1)
    if agenda.next_ms == math.inf:
        return None
    return max(timedelta(milliseconds=agenda.next_ms - agenda.now_ms), timedelta())


class _Agenda(NamedTuple):
    """What the sweep has before it. `next_ms`: the moment of the first entry; infinite if there is none."""

    now_ms: int
    next_ms: float
    is_looked_at_each_second: bool


def _read(ledger: Ledger) -> _Agenda:
    keys = ledger.keys
    waiting = (keys.pauses, keys.destinations_waiting, *map(keys.line, LISTS))
    (seconds, micros), first, first_renewal, are_waiting, *are_requested = ledger.run_all(
        ("time",),
        ("zrange", keys.agenda, 0, 0, False, True),
        ("zrange", keys.renewals, 0, 0, False, True),
        ("exists", *waiting),
        *(("hexists", keys.list_scan(scan), "wanted") for scan in ListScan),
    )
    next_ms = min((score for _, score in [*first, *first_renewal]), default=math.inf)
    return _Agenda(seconds * 1000 + micros // 1000, next_ms, bool(are_waiting) or any(are_requested))


def release_refused(ledger: Ledger, limit: int) -> int:
    """Queue at most `limit` numbers that wait for their destination and may be sent to now; return how many.

    While Plivo refuses a destination, one number is queued for each try. Once Plivo takes codes there again, all are
    queued. Work off the agenda next: it says whose messages to send.
    """
    return int(ledger.run_script("agenda/release", args=[limit]))


def repair_agenda(ledger: Ledger, records: int, *, every: timedelta = timedelta()) -> int:
    """Check about so many records, from where the last call stopped, and put missing entries back on the agenda.

    No walk over all records begins sooner than `every` after the last one. Returns how many entries it put back.
    Ringproof loses none; an operator may delete one with `redis-cli`.
    """
    place = ledger.keys.repair_cursor
    cursor = int(ledger.run("get", place) or 0)
    if not cursor and not claim_tick(ledger, "repair", every):
        return 0
    cursor, keys = ledger.run("scan", cursor, match=ledger.keys.record("*"), count=records)
    ledger.run("set", place, cursor)
    numbers = list(map(ledger.keys.number, keys))
    return int(ledger.run_script("agenda/repair", keys, numbers)) if keys else 0
