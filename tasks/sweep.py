"""The sweep: it acts on the entries of the agenda that are due.

Several beats do no harm. If there is no beat for days, the sweep catches up when there is one.
"""

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ringproof import runtime
from ringproof.celery.app import app
from ringproof.celery.messages import MaskedTask, message_of, send_chunk, send_message
from ringproof.celery.people import send_people
from ringproof.errors import RingproofError
from ringproof.ledger.acceptance import Disposition, RequestKind
from ringproof.ledger.agenda import release_refused, repair_agenda, work_off_agenda
from ringproof.ledger.answers import AgendaAction, AgendaResult, Outcome, Settlement
from ringproof.ledger.confirmation import last_change
from ringproof.ledger.gaps import Memory, note_gap
from ringproof.ledger.last_minute import note_minute
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.newer_messages import put_back
from ringproof.ledger.policy import restore_policy
from ringproof.ledger.queues import SWEEP_TICK, claim_tick, queue
from ringproof.ledger.record import Lane, Reason, Record, State
from ringproof.phone.masking import mask
from tasks.events import enqueue_deliveries
from tasks.plivo_list import enqueue_list_scans
from tasks.reverification import enqueue_reverifications
from worker.celery.beat import SWEEP
from worker.celery.outcome_log import Event, about
from worker.celery.tick_notes import TickNotes
from worker.sending.accounts import work_of
from worker.sending.queries import ask_at_slot
from worker.sending.retry import until_ledger_answers

if TYPE_CHECKING:
    from ringproof.plivo.client import PlivoClient, VerifiedNumber

QUEUES: Final = {lane: queue(lane) for lane in Lane}
PORTION: Final = 500
"""Entries for one call of the script. It takes about 10 ms, in which Redis does nothing else."""

REPAIR_EVERY: Final = timedelta(minutes=1)
"""How often a walk over all records begins. With few records each walk would follow the last one at once."""

CHUNK: Final = 50
"""Numbers of bulk or schedule in one message: with many, they go on at the full pace after a pause."""

TICK: Final = timedelta(milliseconds=800)
"""How long one worker owns a tick, and how long it works. Beat sends at most one each second."""

ENDS: Final = frozenset(
    (
        *(AgendaAction.TOO_LATE, AgendaAction.REFUSED, AgendaAction.CANCELLED),
        *(AgendaAction.DOUBTED, AgendaAction.EXPIRED, AgendaAction.UNDECIDED),
    )
)
"""The actions that give a number an outcome, or a doubt: each has a line in the log."""

ROUTINE: Final = frozenset(map(str, (AgendaAction.ENQUEUE, AgendaAction.HELD, AgendaAction.KEPT, AgendaAction.LIST)))
"""The actions that go on while numbers wait. A sweep with no others is logged for who looks for it (DEBUG)."""

GAP: Final = (
    "Redis remembers nothing from %s to %s: no worker ran then, or it was restored or has lost data "
    "(see docs/operating/redis.md#after-a-restored-backup)"
)

SWEPT: Final = {
    AgendaAction.ENQUEUE: "numbers queued again",
    AgendaAction.HELD: "held back",
    AgendaAction.TOO_LATE: "too late",
    AgendaAction.REFUSED: "refused",
    AgendaAction.CANCELLED: "cancelled",
    AgendaAction.DOUBTED: "in doubt",
    AgendaAction.EXPIRED: "expired",
    AgendaAction.LOOK_UP: "to be looked up",
    AgendaAction.UNDECIDED: "failed after a doubt",
    AgendaAction.LIST: "waiting for Plivo's list",
    AgendaAction.KEPT: "not due yet",
    AgendaAction.NEWER: "left to a newer version",
    AgendaAction.DAMAGED: "damaged",
    AgendaAction.GONE: "gone",
}
"""What the sweep did with entries of the agenda, as an operator reads it."""

_log = logging.getLogger(__name__)
_notes = TickNotes(SWEEP_TICK)
_memory = Memory()


def sweep_once(ledger: Ledger, limit: int = PORTION) -> Counter[AgendaAction]:
    """Work off at most `limit` entries of the agenda that are due; return how many led to which action.

    Three messages sent and one number in doubt: `Counter({AgendaAction.ENQUEUE: 3, AgendaAction.DOUBT: 1})`.
    """
    worked, account = work_off_agenda(ledger, limit, QUEUES), ledger.keys.account
    people: list[tuple[str, int]] = []
    chunks: defaultdict[tuple[Lane, str], list[tuple[str, int]]] = defaultdict(list)
    for entry in worked:
        if entry.action is AgendaAction.ENQUEUE and entry.lane is not Lane.INTERACTIVE:
            chunks[entry.lane, entry.channel].append((entry.phone_number, entry.request))
        elif entry.action is AgendaAction.ENQUEUE:
            people.append((entry.phone_number, entry.request))
        elif entry.action is AgendaAction.LOOK_UP:
            task = look_up.name
            send_message(message_of(entry.phone_number, entry.request, entry.lane, task=task, account=account))
        elif entry.action is AgendaAction.DAMAGED:
            who, extra = mask(entry.phone_number), about(Event.SWEEP, entry.phone_number)
            _log.error("the record of %s in Redis is damaged; `ringproof erase` removes it", who, extra=extra)
        elif entry.action in ENDS:
            _log_end(entry)
    _send_people(ledger, people)
    for (lane, channel), requests in chunks.items():
        for start in range(0, len(requests), CHUNK):
            send_chunk(requests[start : start + CHUNK], lane, channel, account)
    return Counter(entry.action for entry in worked)


def _send_people(ledger: Ledger, requests: Sequence[tuple[str, int]]) -> None:
    """Have people begun: in the installation's own account each has a message."""
    if ledger.keys.account and requests:
        send_people(ledger, requests)
        return
    for number, request in requests:
        send_message(message_of(number, request, Lane.INTERACTIVE))


def _log_end(entry: AgendaResult) -> None:
    why = f" ({entry.reason})" if entry.reason else ""
    facts: dict[str, Any] = {
        "request": entry.request,
        "lane": entry.lane,
        "batch": entry.batch,
        "row": entry.row,
        "channel": entry.channel,
        "state": entry.state,
        "reason": entry.reason,
    }
    extra = about(Event.SWEEP, entry.phone_number, **facts)
    _log.info("%s %s %s%s", entry.state, mask(entry.phone_number), entry.channel, why, extra=extra)


@app.task(name=SWEEP, shared=False, ignore_result=True, send_events=False)  # Flower would show nothing but ticks
def sweep() -> None:
    """Work off the agenda for as long as a tick lasts, unless another worker has taken this tick."""
    ledger = runtime.ledger()
    ledger.generation.compare()
    claim = claim_tick(ledger, SWEEP_TICK, TICK)
    if not claim:
        return
    if gap := _memory.compare(claim):
        note_gap(ledger, gap)
        _log.log(logging.ERROR if gap.is_sure else logging.WARNING, GAP, gap.began or "its beginning", gap.ended)
    if restore_policy(ledger, runtime.settings().policy):
        _log.error("Redis had no policy, because it was emptied; this worker's is published again")
    began = time.monotonic()
    until = began + TICK.total_seconds()
    done: Counter[AgendaAction] = Counter()
    release_refused(ledger, PORTION)
    while (swept := sweep_once(ledger)).total():
        done += swept
        if time.monotonic() > until:
            break
    repaired = repair_agenda(ledger, PORTION, every=REPAIR_EVERY)
    put_back(ledger)
    note_minute(ledger)
    enqueue_list_scans(ledger)
    enqueue_deliveries(ledger)
    reverifications = enqueue_reverifications(ledger)
    counts = {
        **{str(action): count for action, count in done.items()},
        "put back on the agenda": repaired,
        "to be verified again": reverifications,
    }
    if did := {what: count for what, count in counts.items() if count}:
        level = logging.DEBUG if did.keys() <= ROUTINE else logging.INFO
        _log.log(level, "swept: %s", ", ".join(f"{count} {what}" for what, count in did.items()))
    _notes.write(ledger, began, _swept_text(done, repaired, reverifications))


def _swept_text(done: Counter[AgendaAction], repaired: int, reverifications: int) -> str:
    """Return what a sweep did: `12 numbers queued again, 3 expired`; empty if nothing."""
    did = {SWEPT[action]: count for action, count in done.items()}
    did |= {"put back on the agenda": repaired, "to be verified again": reverifications}
    return ", ".join(f"{count} {what}" for what, count in did.items() if count)


@app.task(base=MaskedTask, name="ringproof.look_up", shared=False, ignore_result=True)
def look_up(phone_number: str, request: int, account: Any = None) -> None:
    """Ask Plivo whether a number in doubt was verified meanwhile, and end the doubt.

    If Plivo does not answer, nothing is decided, and the sweep sends this message again.
    """
    with work_of(account):
        _look_up(runtime.ledger(account), runtime.plivo(account), phone_number, request)


def _look_up(ledger: Ledger, client: "PlivoClient", phone_number: str, request: int) -> None:
    record = ledger.read(phone_number, request)
    if record is None or record.state is not State.IN_DOUBT:
        return
    try:
        caller_id = None if record.is_test else ask_at_slot(ledger, partial(client.get, phone_number))
    except RingproofError as error:
        _log.warning("still in doubt %s: %s", mask(phone_number), error)
        return
    end_doubt(ledger, record, caller_id, hold=runtime.settings_of(ledger.keys.account).in_doubt == "hold")


def end_doubt(ledger: Ledger, record: Record, caller_id: "VerifiedNumber | None", *, hold: bool) -> None:
    """End the doubt about a number when no code of it can be live: it is verified, gets one more code, or has failed.

    `caller_id` is Plivo's entry of the number (None: it has none). With `hold` no number gets another code unless a
    person asks for it.
    """
    number, lane = record.phone_number, record.lane
    if caller_id and _is_by_this_request(caller_id, record, _sent_at(ledger, record)):
        outcome = Outcome(State.VERIFIED, verification_uuid=caller_id.verification_uuid)
    elif record.again and record.reason is Reason.WORKER_LOST:
        outcome = Outcome(State.FAILED, Reason.CRASHES_WORKER)
    elif record.again or hold or lane is Lane.INTERACTIVE or not _send_again(ledger, record):
        outcome = Outcome(State.FAILED, Reason.IN_DOUBT)
    else:
        return
    settlement = Settlement(number, record.request, record.fence or "", outcome)
    (written,) = until_ledger_answers(lambda: ledger.settle_many([settlement]))
    extra = about(Event.LOOK_UP, number, record, state=written.state, reason=written.reason)
    _log.info("%s %s after a doubt", written.state, mask(number), extra=extra)


def _send_again(ledger: Ledger, record: Record) -> bool:
    """Make one more request like the one in doubt. The token is made of that one, so this happens once.

    Returns False if the ledger takes none: the batch was cancelled, or no code goes to that country any more.
    """
    number = record.phone_number
    kind = RequestKind.REVERIFICATION if record.reverifies else RequestKind.ROSTER
    token = f"again:{number}:{record.request}"
    accepted = until_ledger_answers(lambda: ledger.follow(record, token=token, kind=kind, lane=record.lane, again=True))
    if accepted.disposition is not Disposition.ACCEPTED:
        return False
    extra = about(Event.LOOK_UP, number, record, request=accepted.request, state=State.QUEUED, reason=None)
    _log.info("sending again to %s after a doubt", mask(number), extra=extra)
    send_message(message_of(number, accepted.request, record.lane, account=ledger.keys.account))
    return True


def _sent_at(ledger: Ledger, record: Record) -> datetime | None:
    """Return the slot of the attempt in doubt: begin sets `live_until` to the slot, the lease and a code's life."""
    return record.live_until and record.live_until - ledger.durations.code - ledger.durations.lease


def _is_by_this_request(caller_id: "VerifiedNumber", record: Record, sent_at: datetime | None) -> bool:
    """Whether the number was verified by a code of this request, and not by an older one."""
    if caller_id.verification_uuid == record.verification_uuid:
        return not record.is_code_used
    if caller_id.verification_uuid == record.verified_uuid:
        return False
    # An entry also gets a new date if somebody edits its alias. If it is not known what the entry was before, only the
    # date of a new entry is a proof.
    is_known = record.verified_uuid is not None or record.is_code_used
    dated = last_change(caller_id) if is_known else caller_id.created_at
    return bool(sent_at and dated and dated > sent_at)
