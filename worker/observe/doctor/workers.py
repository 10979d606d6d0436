"""The workers and beat: who runs, whether messages and numbers are taken, and what holds the sending back."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from ringproof.clock import duration_text
from ringproof.events.delivery_status import deliveries
from ringproof.events.outbox import READERS
from ringproof.ledger.heartbeats import ALIVE, account_digest, credentials_digest
from ringproof.ledger.policy import changes
from ringproof.ledger.queues import QUEUES
from worker.observe.doctor.case import Case, facts_of, ledger_of
from worker.observe.doctor.check import Line, failed, of_finding, ok, warning
from worker.observe.facts import Facts
from worker.observe.worker_findings import no_beat

PING_SECONDS: Final = 3.0
"""How long a worker may take to answer Celery's ping. One that works answers in milliseconds."""

OVERDUE: Final = timedelta(minutes=1)
"""The sweep works off what is due each second, and hundreds of numbers at once."""


def workers(case: Case) -> Iterator[Line]:
    """Check that a worker takes each queue that has work, with this prefix, and that all run one version."""
    yield ok(", ".join(f"{one.worker} ({one.pool or '?'})" for one in facts_of(case).workers))


def ping(case: Case) -> Iterator[Line]:
    """Check that each worker that says it runs also answers."""
    expected = [one.worker for one in facts_of(case).workers]
    answered = _answers_of_ping(len(expected))
    silent = [name for name in expected if name not in answered]
    if silent:
        yield failed(
            f"{', '.join(silent)} did not answer Celery's ping within {PING_SECONDS:.0f} s",
            "see the log there, and restart it: its main process is stopped, or has lost Redis",
        )
    else:
        yield ok(f"{', '.join(sorted(expected))}: {'it answers' if len(expected) == 1 else 'all answer'} Celery's ping")


def _answers_of_ping(expected: int) -> set[str]:
    """Return the names of the workers that answer by Celery's remote control, at once if so many have."""
    from ringproof.celery.app import app  # noqa: PLC0415  # it loads Celery

    return {name for answer in app.control.ping(timeout=PING_SECONDS, limit=expected) for name in answer}


def consumed(case: Case) -> Iterator[Line]:
    """Check that messages are taken off the queues, and that the processes that took them work."""
    facts = facts_of(case)
    taken = max(((one.taken, one.worker) for one in facts.workers if one.taken), default=None)
    sent = max(((one.last_sent, one.process) for one in facts.activities if one.last_sent), default=None)
    last = f"{taken[1]} took a message {facts.ago(taken[0])}" if taken else "no worker has taken a message yet"
    code = f"{sent[1]} sent a code {facts.ago(sent[0])}" if sent else "no code was sent in the last hour"
    yield ok(f"{last}; {code}")


def beat(case: Case) -> Iterator[Line]:
    """Check that beat runs, and that the sweep follows it."""
    facts = facts_of(case)
    if not facts.workers:  # then `findings` names the missing worker alone
        yield from map(of_finding, no_beat(facts))
    names = ", ".join(one.worker for one in facts.beats) or "a beat"
    swept = f"the last sweep was {facts.ago(facts.last_sweep)}" if facts.last_sweep else "no sweep has run yet"
    yield ok(f"{names} runs; {swept}")


def queues(case: Case) -> Iterator[Line]:
    """Check Celery's queues: that they are queues, that nobody else takes from them, and that nothing due waits."""
    kinds = ledger_of(case).run_all(*(("type", name) for name in QUEUES))
    for name, kind in zip(QUEUES, kinds, strict=True):
        if kind not in {"list", "none"}:
            yield failed(
                f"{name} is a {kind} in Redis, and no queue: no message can be sent or taken",
                f"another program has written it; delete it: redis-cli del {name}",
            )
    if facts := case.facts:
        yield from _of_queues(facts)


def _of_queues(facts: Facts) -> Iterator[Line]:
    others = sorted(
        prefix for prefix, at in facts.prefixes.items() if prefix != facts.prefix and abs(facts.now - at) <= ALIVE
    )
    if others and facts.workers:
        yield failed(
            f"workers with other prefixes ({', '.join(others)}) take messages from the same queues, and drop them",
            "give each installation a database of its own: queues have no prefix",
        )
    if facts.agenda_lag > OVERDUE:
        yield failed(
            f"what is due waits for {duration_text(facts.agenda_lag)}: the sweep does not come to it",
            "see beat and the workers of ringproof.ticks; ringproof status shows how it goes on",
        )
    lengths = ", ".join(f"{name.rpartition('.')[2]} {queue.length:,}" for name, queue in facts.queues.items())
    yield ok(f"{lengths}; nothing that is due waits")


def accounts(case: Case) -> Iterator[Line]:
    """Check that all workers, and this machine, send with one account of Plivo's."""
    facts = facts_of(case)
    used = {one.account for one in facts.workers if one.account}
    tokens = {one.credentials for one in facts.workers if one.credentials}
    current = case.settings
    auth_id, auth_token = (current.plivo_auth_id, current.plivo_auth_token) if current else (None, None)
    if auth_id and used and account_digest(auth_id) not in used:
        yield failed(
            "this environment has another PLIVO_AUTH_ID than the workers",
            "give all the same: a code of one account cannot be confirmed with the other",
        )
    elif auth_id and auth_token and tokens and credentials_digest(auth_id, auth_token) not in tokens:
        yield warning(
            "this environment has another PLIVO_AUTH_TOKEN than the workers",
            "after a change of the token, give it to all and restart them",
        )
    token = "token" if len(tokens) == 1 else "tokens"
    yield ok(f"all workers use one account, with {len(tokens)} {token}" if used else "no worker says which it uses")


def policy(case: Case) -> Iterator[Line]:
    """Check that the workers, and a worker that started here, have the policy that Redis has."""
    changed = changes(ledger_of(case), case.settings.policy) if case.settings and case.is_worker else []
    if changed:
        yield warning(
            f"a worker that starts with this environment would change for all: {', '.join(changed)}",
            "give all workers the same RINGPROOF_… variables",
        )
    yield ok(f"all workers have the same policy; the pace is {facts_of(case).sending.rate}")


def sending(case: Case) -> Iterator[Line]:
    """Check that nothing holds the sending back: pauses, a 429, and workers that do not reach Plivo."""
    share = facts_of(case).sending.share
    yield ok("nothing is paused" + ("" if share >= 1 else f"; the pace is at {share:.0%} after a 429"))


def events(case: Case) -> Iterator[Line]:
    """Check that webhooks and handlers get their events."""
    consumers = [one for one in deliveries(ledger_of(case)) if one.consumer != READERS]
    for one in consumers:
        remedy = "ringproof webhook test" if one.consumer == "webhooks" else "see the log of your handlers' worker"
        if one.is_gone:
            yield failed(f"{one.consumer}: the receiver has answered 410, so that nothing is sent to it", remedy)
        elif one.failures:
            yield failed(f"{one.consumer}: the last {one.failures} deliveries failed, and {one.waiting} wait", remedy)
        if one.given_up or one.trimmed:
            yield warning(
                f"{one.consumer}: {one.given_up:,} events were given up, and {one.trimmed:,} are lost",
                "ringproof webhook ls, and ringproof webhook replay",
            )
    yield ok(", ".join(f"{one.consumer}: {one.behind:,} behind" for one in consumers) or "nobody consumes events")
