"""The sweep: acts on what time has done, each second. Any number of beats is harmless, and none for three days too."""

import logging
import time
from collections import Counter, defaultdict
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ringproof import runtime
from ringproof.batches.summary import belongs_to_cancelled_batches
from ringproof.celery.app import app
from ringproof.celery.messages import MaskedTask, send_chunk, send_message
from ringproof.errors import RingproofError
from ringproof.ledger.acceptance import Disposition, Requester
from ringproof.ledger.agenda import repair_agenda, work_off_agenda
from ringproof.ledger.answers import AgendaAction, Outcome, PlivoSignal
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.pace import report_answer, take_probe
from ringproof.ledger.queues import TICKS, claim_tick, queue
from ringproof.ledger.record import Lane, Reason, Record, State
from ringproof.phone.masking import mask
from tasks.reconcile import enqueue_list_scan
from tasks.reverification import enqueue_renewals
from worker.celery.beat import SWEEP
from worker.sending.queries import ask_at_slot
from worker.sending.retry import until_ledger_answers

if TYPE_CHECKING:
    from ringproof.plivo.client import CallerId

QUEUES: Final = {lane: queue(lane) for lane in Lane}
PORTION: Final = 500
"""Entries worked off by one script: about 10 ms in which Redis does nothing else."""

CHUNK: Final = 50
"""Numbers of bulk or schedule in one message: what a pause has held back goes on at the pace, and not one by one."""

TICK: Final = timedelta(milliseconds=800)
"""How long a tick is taken, and how long it works: beat's is a second."""

_log = logging.getLogger(__name__)


def sweep_once(ledger: Ledger, limit: int = PORTION) -> Counter[AgendaAction]:
    """Work off at most `limit` entries of the agenda that are due; return how many got what."""
    worked = work_off_agenda(ledger, limit, QUEUES)
    chunks: defaultdict[tuple[Lane, str], list[tuple[str, int]]] = defaultdict(list)
    for entry in worked:
        if entry.action is AgendaAction.ENQUEUE and entry.lane is not Lane.INTERACTIVE:
            chunks[entry.lane, entry.channel].append((entry.phone_number, entry.request))
        elif entry.action is AgendaAction.ENQUEUE:
            send_message(entry.phone_number, entry.request, entry.lane)
        elif entry.action is AgendaAction.LOOK_UP:
            send_message(entry.phone_number, entry.request, entry.lane, task=look_up.name)
    for (lane, _), requests in chunks.items():
        for start in range(0, len(requests), CHUNK):
            send_chunk(requests[start : start + CHUNK], lane)
    return Counter(entry.action for entry in worked)


@app.task(name=SWEEP, shared=False, ignore_result=True)
def sweep() -> None:
    """Take the tick if nobody else has, and work the agenda off for as long as a tick lasts."""
    ledger = runtime.ledger()
    if not claim_tick(ledger, "sweep", TICK):
        return
    until = time.monotonic() + TICK.total_seconds()
    done: Counter[AgendaAction] = Counter()
    while (swept := sweep_once(ledger)).total():
        done += swept
        if time.monotonic() > until:
            break
    mended = repair_agenda(ledger, PORTION)
    if take_probe(ledger):
        app.send_task(probe.name, queue=TICKS, ignore_result=True)
    enqueue_list_scan(ledger)
    renewals = enqueue_renewals(ledger)
    if done or mended or renewals:
        told = [f"{count} {due}" for due, count in done.items()]
        told += [f"{mended} mended"] * bool(mended) + [f"{renewals} to be verified again"] * bool(renewals)
        _log.info("swept: %s", ", ".join(told))


@app.task(name="ringproof.probe", shared=False, ignore_result=True)
def probe() -> None:
    """Ask Plivo whether it knows the credentials again; if it does, everybody goes on."""
    ledger = runtime.ledger()
    try:
        ask_at_slot(ledger, runtime.plivo().probe)
    except RingproofError as error:
        _log.warning("still paused: %s", error)
        return
    report_answer(ledger, PlivoSignal.KNOWN)
    _log.info("Plivo knows the credentials again; sending goes on")


@app.task(base=MaskedTask, name="ringproof.look_up", shared=False, ignore_result=True)
def look_up(phone_number: str, request: int) -> None:
    """Ask Plivo whether a doubtful number was verified meanwhile, and decide what becomes of the request.

    If Plivo cannot be asked, nothing is decided: the number is due again in a minute.
    """
    ledger = runtime.ledger()
    record = ledger.read(phone_number, request)
    if record is None or record.state is not State.IN_DOUBT:
        return
    try:
        known = ask_at_slot(ledger, partial(runtime.plivo().get, phone_number))
    except RingproofError as error:
        _log.info("still in doubt %s: %s", mask(phone_number), error)
        return
    decide(ledger, record, known, hold=runtime.settings().in_doubt == "hold")


def decide(ledger: Ledger, record: Record, known: "CallerId | None", *, hold: bool) -> None:
    """End a doubt whose last possible code has died: verified, or one resend by itself, or failed."""
    number, lane = record.phone_number, record.lane
    if known and _is_this(known, record, _sent_at(ledger, record)):
        outcome = Outcome(State.VERIFIED, verification_uuid=known.verification_uuid)
    elif record.again and record.reason is Reason.WORKER_LOST:
        outcome = Outcome(State.FAILED, Reason.CRASHES_WORKER)
    elif record.again or hold or lane is Lane.INTERACTIVE or belongs_to_cancelled_batches(ledger, record):
        outcome = Outcome(State.FAILED, Reason.IN_DOUBT)
    else:
        _send_again(ledger, record)
        return
    until_ledger_answers(lambda: ledger.settle(number, record.request, record.fence or "", outcome))
    _log.info("%s %s after a doubt", outcome.state, mask(number))


def _send_again(ledger: Ledger, record: Record) -> None:
    """Accept the request anew, as itself and once: the token is made of the doubtful one."""
    number = record.phone_number
    requester = Requester.REVERIFICATION if record.reverifies else Requester.ROSTER
    token = f"again:{number}:{record.request}"
    accepted = until_ledger_answers(
        lambda: ledger.follow(record, token=token, requester=requester, lane=record.lane, again=True)
    )
    if accepted.disposition is Disposition.ACCEPTED:
        _log.info("sending again to %s after a doubt", mask(number))
        send_message(number, accepted.request, record.lane)


def _sent_at(ledger: Ledger, record: Record) -> datetime | None:
    """Return the doubtful attempt's slot: begin has set `live_until` to lease and code after it."""
    return record.live_until and record.live_until - ledger.durations.code - ledger.durations.lease


def _is_this(known: "CallerId", record: Record, sent_at: datetime | None) -> bool:
    """Whether what Plivo knows is about this request: a uuid of last year is no answer."""
    if known.verification_uuid == record.verification_uuid:
        return not record.is_code_used
    dates: list[Any] = [date for date in (known.created_at, known.modified_at) if date]
    return bool(sent_at and dates and max(dates) > sent_at)
