"""What must hold after each fault: one checker, over the sandbox's ledger, Redis and the logs."""

import itertools
import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from support.harness import AUTH_TOKEN, eventually

from ringproof.ledger.metrics import read_counts
from ringproof.ledger.record import State

CODE_SECONDS = 15 * 60
TICK = timedelta(seconds=5)
NO_SECRET = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d+\.\d+")
"""Ids and durations: of thousands, some have the eight digits of a code by chance."""


def check(world, *, resent=()):
    """Assert that nothing was lost, sent twice, forgotten or revealed; `resent`: numbers whose person asked again."""
    agenda = []

    def is_in_order():
        """A sweep is late on a busy machine, and while it is at work they are not read at one moment."""
        agenda[:] = [*_agenda(world), *_counts(world)]
        return not agenda

    with suppress(AssertionError):
        eventually(is_in_order, within=20)
    problems = [*_numbers(world), *_sends(world, set(resent)), *agenda, *_logs(world)]
    assert not problems, f"{len(problems)} problems:\n" + "\n".join(problems[:20])
    assert world.accepted


def _numbers(world):
    """Every accepted number is final, or goes on with a reason and a time."""
    for number, record in world.records().items():
        if record is None:
            yield f"{number} is lost"
        elif record.state is State.WAITING and not (record.reason and record.due_at):
            yield f"{record} waits without reason or time"
        elif record.state is State.IN_DOUBT and not (record.live_until and (record.reason or record.detail)):
            yield f"{record} is in doubt without reason or time"
        elif record.state is State.FAILED and not record.reason:
            yield f"{record} failed without a reason"
        elif record.state is State.CODE_SENT and not record.verification_uuid:
            yield f"{record} has no uuid"


def _sends(world, resent):
    """Codes alive at once: one a number; sends: one a request."""
    by_number = {}
    for send in world.plivo.sends():
        by_number.setdefault(send["phone_number"], []).append(send)
    for number, sends in by_number.items():
        if number not in world.accepted:
            yield f"{number} was sent to, and never accepted"
        requests = 1 + world.client.hlen(world.ledger.keys.earlier(number))
        if len(sends) > requests:
            yield f"{number}: {len(sends)} sends for {requests} requests"
        gaps = [later["at"] - earlier["at"] for earlier, later in itertools.pairwise(sends)]
        if number not in resent and any(gap < CODE_SECONDS for gap in gaps):
            yield f"{number} had two live codes: {gaps}"
    sent = {send["verification_uuid"]: send["phone_number"] for send in world.plivo.sends()}
    for number, record in world.records().items():
        if record and record.state is State.CODE_SENT and sent.get(record.verification_uuid) != number:
            yield f"{record} has a uuid that Plivo did not give it"


def _counts(world):
    """Each request is counted once, whatever died, and the numbers in doubt are those that are listed."""
    records = {number: record for number, record in world.records().items() if record}
    requests = sum(1 + world.client.hlen(world.ledger.keys.earlier(number)) for number in records)
    counted = sum(one.count for one in read_counts(world.ledger) if one.name == "accepted")
    if counted != requests:
        yield f"{requests} requests were accepted, and {counted} are counted"
    in_doubt = {number for number, record in records.items() if record.state is State.IN_DOUBT}
    listed = set(world.client.zrange(world.ledger.keys.in_doubt, 0, -1))
    if listed != in_doubt:
        yield f"{len(in_doubt)} numbers are in doubt, and {len(listed)} are listed"


def _agenda(world):
    """Unfinished records have an entry, finished ones and unknown ones have none, and none is overdue."""
    agenda = dict(world.client.zrange(world.ledger.keys.agenda, 0, -1, withscores=True))
    offset = float(world.client.get("test:clock") or 0)
    now = datetime.now(UTC) + timedelta(seconds=offset)
    found = set()
    for key in world.client.scan_iter(world.ledger.keys.record("*"), count=1000):
        number = key.rpartition(":")[2]
        found.add(number)
        state = State(world.client.hget(key, "state"))
        if state.is_final and number in agenda:
            yield f"{number} is {state} and still on the agenda"
        elif not state.is_final and number not in agenda:
            yield f"{number} is {state} and not on the agenda"
        elif not state.is_final and now - datetime.fromtimestamp(agenda[number] / 1000, UTC) > TICK:
            yield f"{number} is {state}, and overdue"
    yield from (f"{number} is on the agenda without a record" for number in agenda.keys() - found)


def _logs(world):
    """No number, code or token in a log."""
    logs = "\n".join(log.read_text(errors="replace") for log in world.logs)
    if AUTH_TOKEN in logs:
        yield "the token is in a log"
    runs = set(re.findall(r"\d{8,15}", NO_SECRET.sub(" ", logs)))
    for number in world.accepted:
        if number[1:] in runs or number[2:] in runs:
            yield f"{number} is in a log"
    yield from (
        f"the code of {send['phone_number']} is in a log" for send in world.plivo.sends() if send["code"] in runs
    )
