"""The sweep: it acts on the entries of the agenda that are due.

Several beats do no harm. If there is no beat for days, the sweep catches up when there is one.
"""

import logging
import time
from collections import Counter, defaultdict
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from ringproof import runtime
from ringproof.celery.app import app
from ringproof.celery.messages import MaskedTask, send_chunk, send_message
from ringproof.errors import RingproofError
from ringproof.ledger.acceptance import Disposition, RequestKind
from ringproof.ledger.agenda import release_refused, repair_agenda, work_off_agenda
from ringproof.ledger.answers import AgendaAction, Outcome
from ringproof.ledger.confirmation import last_change
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.pace import take_probe
from ringproof.ledger.policy import restore_policy
from ringproof.ledger.queues import SWEEP_TICK, claim_tick, queue
from ringproof.ledger.record import Lane, Reason, Record, State
from ringproof.phone.masking import mask
from tasks.events import enqueue_deliveries
from tasks.plivo_list import enqueue_list_scans
from tasks.reverification import enqueue_reverifications
from worker.celery.beat import SWEEP
from worker.sending.queries import ask_at_slot
from worker.sending.retry import until_ledger_answers

if TYPE_CHECKING:
    from ringproof.plivo.client import VerifiedNumber

QUEUES: Final = {lane: queue(lane) for lane in Lane}
PORTION: Final = 500
"""Entries for one call of the script. It takes about 10 ms, in which Redis does nothing else."""

REPAIR_EVERY: Final = timedelta(minutes=1)
"""How often a walk over all records begins. With few records each walk would follow the last one at once."""

CHUNK: Final = 50
"""Numbers of bulk or schedule in one message: with many, they go on at the full pace after a pause."""

TICK: Final = timedelta(milliseconds=800)
"""How long one worker owns a tick, and how long it works. Beat sends at most one each second."""

_log = logging.getLogger(__name__)


def sweep_once(ledger: Ledger, limit: int = PORTION) -> Counter[AgendaAction]:
    """Work off at most `limit` entries of the agenda that are due; return how many led to which action.

    Three messages sent and one number in doubt: `Counter({AgendaAction.ENQUEUE: 3, AgendaAction.DOUBT: 1})`.
    """
    worked = work_off_agenda(ledger, limit, QUEUES)
    chunks: defaultdict[tuple[Lane, str], list[tuple[str, int]]] = defaultdict(list)
    for entry in worked:
        if entry.action is AgendaAction.ENQUEUE and entry.lane is not Lane.INTERACTIVE:
            chunks[entry.lane, entry.channel].append((entry.phone_number, entry.request))
        elif entry.action is AgendaAction.ENQUEUE:
            send_message(entry.phone_number, entry.request, entry.lane)
        elif entry.action is AgendaAction.LOOK_UP:
            send_message(entry.phone_number, entry.request, entry.lane, task=look_up.name)
        elif entry.action is AgendaAction.DAMAGED:
            _log.error("the record of %s in Redis is damaged; `ringproof erase` removes it", mask(entry.phone_number))
    for (lane, channel), requests in chunks.items():
        for start in range(0, len(requests), CHUNK):
            send_chunk(requests[start : start + CHUNK], lane, channel)
    return Counter(entry.action for entry in worked)


@app.task(name=SWEEP, shared=False, ignore_result=True)
def sweep() -> None:
    """Work off the agenda for as long as a tick lasts, unless another worker has taken this tick."""
    ledger = runtime.ledger()
    if not claim_tick(ledger, SWEEP_TICK, TICK):
        return
    if restore_policy(ledger, runtime.settings().policy):
        _log.warning("Redis had no policy, because it was emptied; this worker's is published again")
    until = time.monotonic() + TICK.total_seconds()
    done: Counter[AgendaAction] = Counter()
    release_refused(ledger, PORTION)
    while (swept := sweep_once(ledger)).total():
        done += swept
        if time.monotonic() > until:
            break
    repaired = repair_agenda(ledger, PORTION, every=REPAIR_EVERY)
    if take_probe(ledger):
        app.send_task(probe.name, queue=queue(Lane.INTERACTIVE), ignore_result=True)
    enqueue_list_scans(ledger)
    enqueue_deliveries(ledger)
    reverifications = enqueue_reverifications(ledger)
    counts = {
        **{str(action): count for action, count in done.items()},
        "put back on the agenda": repaired,
        "to be verified again": reverifications,
    }
    if any(counts.values()):
        _log.info("swept: %s", ", ".join(f"{count} {what}" for what, count in counts.items() if count))


@app.task(name="ringproof.probe", shared=False, ignore_result=True)
def probe() -> None:
    """Ask Plivo whether it accepts the credentials again; if it does, sending goes on.

    Its message is in a lane's queue: in the queue of the ticks it would keep the sweep waiting.
    """
    try:
        ask_at_slot(runtime.ledger(), runtime.plivo().probe)
    except RingproofError as error:
        _log.warning("still paused: %s", error)
        return
    _log.info("Plivo accepts the credentials again; sending goes on")


@app.task(base=MaskedTask, name="ringproof.look_up", shared=False, ignore_result=True)
def look_up(phone_number: str, request: int) -> None:
    """Ask Plivo whether a number in doubt was verified meanwhile, and end the doubt.

    If Plivo does not answer, nothing is decided, and the sweep sends this message again.
    """
    ledger = runtime.ledger()
    record = ledger.read(phone_number, request)
    if record is None or record.state is not State.IN_DOUBT:
        return
    try:
        caller_id = ask_at_slot(ledger, partial(runtime.plivo().get, phone_number))
    except RingproofError as error:
        _log.info("still in doubt %s: %s", mask(phone_number), error)
        return
    end_doubt(ledger, record, caller_id, hold=runtime.settings().in_doubt == "hold")


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
    until_ledger_answers(lambda: ledger.settle(number, record.request, record.fence or "", outcome))
    _log.info("%s %s after a doubt", outcome.state, mask(number))


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
    _log.info("sending again to %s after a doubt", mask(number))
    send_message(number, accepted.request, record.lane)
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
