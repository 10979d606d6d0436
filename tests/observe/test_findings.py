"""What is wrong, found from facts alone: each finding once, with what to do, and none without a cause."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ringproof.errors import LedgerUnavailable
from ringproof.ledger.activity import Activity, UnreachableSince
from ringproof.ledger.control import Pause, SendingStatus
from ringproof.ledger.gaps import Gap
from ringproof.ledger.gate import Gate
from ringproof.ledger.heartbeats import Heartbeat
from ringproof.ledger.queues import QUEUES, TICKS, queue
from ringproof.ledger.record import Lane
from worker.observe.facts import Facts, Queue
from worker.observe.findings import Code, Severity, findings, redis_away

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
SENDING = SendingStatus(
    now=NOW,
    rate="300/5s",
    call_rate="2/1s",
    usual={"rate": "300/5s", "call_rate": "2/1s"},
    limited_until=None,
    over_cap=(),
    next_slot=None,
    closed_until=None,
    share=1.0,
    pauses=(),
    refused_destinations=(),
    queues={},
    open_numbers=0,
    renewals=0,
    lapsed=0,
    refusals={},
    wrong_codes={},
    breakers=(),
    people=(),
    unknown_credentials={},
)


def ago(seconds):
    return NOW - timedelta(seconds=seconds)


def worker(name, *queues, **fields):
    same = {"account": "a" * 12, "policy": "b" * 12, "version": "0.1.0", "pool": "threads 32", "away_ms": 0.2}
    taken = {"started": ago(3600), "taken": ago(2)}
    fields = {"at": ago(1), "host": name.rpartition("@")[2], "pid": 12, **same, **taken} | fields
    return Heartbeat(name, queues=tuple(queues), **fields)


INTERACTIVE = worker("interactive@vm", TICKS, queue(Lane.INTERACTIVE))
BULK = worker("bulk@vm", queue(Lane.SCHEDULED), queue(Lane.BULK), pool="prefork 2", children=(31, 32))
BEAT = Heartbeat("beat@vm", ago(1), kind="beat", host="vm", pid=13)
WELL = Facts(
    SENDING,
    heartbeats=(BEAT, BULK, INTERACTIVE),
    queues=dict.fromkeys(QUEUES, Queue()),
    last_sweep=ago(3),
)


def waiting(name, length, seconds=120):
    return dict.fromkeys(QUEUES, Queue()) | {name: Queue(length, ago(seconds))}


def paused(kind=None, lane=None, why="a reason", next_look=None):
    return replace(SENDING, pauses=(Pause(lane, ago(180), why, next_look, kind),))


def away(name, pid, last_sent=None, at=1):
    unreachable = UnreachableSince(ago(60), 4, "connection refused")
    return Activity(f"{name}/{pid}", ago(at), worker=name, last_sent=last_sent, unreachable=unreachable)


def codes(facts):
    return [one.code for one in findings(facts)]


def test_where_all_is_well_nothing_is_found():
    assert findings(WELL) == []


def test_messages_that_wait_for_a_moment_are_no_fault():
    assert codes(replace(WELL, queues=waiting(queue(Lane.BULK), 12, seconds=5), feeding=2)) == []


@pytest.mark.parametrize(
    ("changes", "code", "severity", "words"),
    [
        (
            {"heartbeats": (replace(INTERACTIVE, at=ago(180)),), "queues": waiting(queue(Lane.BULK), 118)},
            Code.NO_WORKER,
            Severity.STOPPED,
            "no worker takes messages: 118 messages wait; interactive@vm was the last one, 3 min ago",
        ),
        (
            {"heartbeats": (), "prefixes": {"ringproof": ago(1), "mine": ago(3000)}, "prefix": "mine"},
            Code.OTHER_PREFIX,
            Severity.STOPPED,
            'under the prefix "mine"; workers run under "ringproof"',
        ),
        (
            {"heartbeats": (BULK, INTERACTIVE), "last_sweep": ago(40)},
            Code.NO_BEAT,
            Severity.HELD_BACK,
            "no beat runs: the sweep has not run for 40 s",
        ),
        (
            {"heartbeats": (BEAT, INTERACTIVE), "queues": waiting(queue(Lane.BULK), 118), "feeding": 2},
            Code.LANE_WITHOUT_WORKER,
            Severity.HELD_BACK,
            "no worker takes the queue of bulk (ringproof.bulk): 118 messages wait and 2 batches have rows to send",
        ),
        (
            {"activities": (Activity("bulk@vm/31", ago(45), worker="bulk@vm", in_hand=7),)},
            Code.CHILDREN_STOPPED,
            Severity.HELD_BACK,
            "bulk@vm answers, but its process 31 shows no progress for 45 s",
        ),
        (
            {
                "heartbeats": (BEAT, replace(BULK, waiting=2, oldest_waiting_s=60.0, taken=ago(60)), INTERACTIVE),
                "queues": waiting(queue(Lane.BULK), 118),
            },
            Code.CHILDREN_STOPPED,
            Severity.HELD_BACK,
            "no process of it has begun the tasks that it took 60 s ago",
        ),
        (
            {
                "heartbeats": (BEAT, BULK, replace(INTERACTIVE, taken=ago(60))),
                "queues": waiting(queue(Lane.INTERACTIVE), 3),
            },
            Code.NOT_CONSUMED,
            Severity.HELD_BACK,
            "3 messages wait in ringproof.interactive, and interactive@vm took nothing for 60 s",
        ),
        (
            {"refusal": "OOM command not allowed", "heartbeats": ()},
            Code.REDIS_FULL,
            Severity.STOPPED,
            "Redis is full",
        ),
        (
            {"refusal": "MISCONF Redis is configured to save RDB snapshots", "heartbeats": ()},
            Code.REDIS_READ_ONLY,
            Severity.STOPPED,
            "it cannot save to its disk",
        ),
        (
            {"refusal": "READONLY You can't write against a read only replica.", "redis": "redis://r:6379/0"},
            Code.REDIS_READ_ONLY,
            Severity.STOPPED,
            "redis://r:6379/0 is a replica",
        ),
        (
            {"activities": (away("bulk@vm", 31), away("interactive@vm", 12))},
            Code.PLIVO_UNREACHABLE,
            Severity.STOPPED,
            "Plivo cannot be reached (connection refused) for 60 s: 8 sends could not connect",
        ),
        (
            {"heartbeats": (BEAT, replace(BULK, account="c" * 12), INTERACTIVE)},
            Code.ACCOUNTS_DIFFER,
            Severity.HELD_BACK,
            "aaaaaaaaaaaa at interactive@vm; cccccccccccc at bulk@vm",
        ),
        (
            {"heartbeats": (BEAT, replace(BULK, policy="c" * 12), INTERACTIVE)},
            Code.POLICIES_DIFFER,
            Severity.WARNING,
            "the one that started last decides",
        ),
        (
            {"heartbeats": (BEAT, replace(BULK, version="0.2.0"), INTERACTIVE)},
            Code.VERSIONS_DIFFER,
            Severity.WARNING,
            "0.1.0 at interactive@vm; 0.2.0 at bulk@vm",
        ),
        (
            {"heartbeats": (BEAT, replace(BULK, away_ms=101.4), INTERACTIVE)},
            Code.REDIS_FAR,
            Severity.WARNING,
            "101 ms from bulk@vm and back",
        ),
        (
            {"heartbeats": (BEAT, replace(BULK, replicas_needed=1, replicas_answering=0), INTERACTIVE)},
            Code.REPLICAS_MISSING,
            Severity.STOPPED,
            "0 of the 1 replicas that have to confirm what is written follow Redis",
        ),
        (
            {"gap": Gap(ago(7500), ago(300), is_sure=True)},
            Code.WENT_BACK,
            Severity.HELD_BACK,
            "Redis went back by 2 h 0 min, 5 min ago",
        ),
        (
            {"gap": Gap(None, ago(300), is_sure=True)},
            Code.WENT_BACK,
            Severity.HELD_BACK,
            "Redis has forgotten everything, 5 min ago",
        ),
        (
            {"gap": Gap(ago(7500), ago(1500), is_sure=True)},
            Code.WENT_BACK,
            Severity.WARNING,
            "Redis went back by 1 h 40 min, 25 min ago",
        ),
        (
            {"gap": Gap(ago(7500), ago(300), is_sure=False)},
            Code.WENT_BACK,
            Severity.WARNING,
            "Redis remembers nothing of 2 h 0 min that ended 5 min ago",
        ),
        (
            {
                "gate": Gate(
                    closed_at=ago(9), closing=ago(9), knew_until=ago(14), went_back=True, reported=1, unreported=2
                )
            },
            Code.WENT_BACK,
            Severity.STOPPED,
            "Redis went back by 5 s, 9 s ago (from 11:59:51 UTC to 11:59:46): nothing is sent until the processes",
        ),
        (
            {"gate": Gate(opened_at=ago(60), closing=ago(62), knew_until=ago(67), went_back=True, mended=37)},
            Code.WENT_BACK,
            Severity.WARNING,
            "Redis went back by 5 s, 62 s ago (from 11:58:58 UTC to 11:58:53): the workers have reported 37 numbers",
        ),
        (
            {"gate": Gate(opened_at=ago(60), closing=ago(62), went_back=True, mended=3, lost_batches=("spring",))},
            Code.WENT_BACK,
            Severity.WARNING,
            "get no second code; it does not know these batches any more: spring",
        ),
        (
            {
                "gate": Gate(opened_at=ago(60), closing=ago(106), knew_until=ago(111), unreported=2, forgotten=12),
                "sending": paused(kind="forgotten", next_look=ago(-600)),
            },
            Code.WENT_BACK,
            Severity.HELD_BACK,
            "2 processes that may have sent codes did not say which: bulk and scheduled requests",
        ),
        (
            {"sending": paused()},
            Code.PAUSED,
            Severity.HELD_BACK,
            "all sending is paused for 3 min: a reason",
        ),
        (
            {"sending": paused(lane=Lane.BULK)},
            Code.PAUSED,
            Severity.HELD_BACK,
            "the lane bulk is paused for 3 min: a reason",
        ),
        ({"sending": paused("credentials")}, Code.CREDENTIALS_REFUSED, Severity.STOPPED, "all sending is paused"),
        ({"sending": paused("account")}, Code.ACCOUNT_REFUSED, Severity.STOPPED, "all sending is paused"),
        ({"sending": paused("doubts")}, Code.DOUBTS, Severity.HELD_BACK, "all sending is paused"),
        (
            {"sending": replace(SENDING, closed_until=NOW + timedelta(seconds=40))},
            Code.CLOSED,
            Severity.HELD_BACK,
            "Plivo answered 429, so that nothing is sent for 40 s",
        ),
        (
            {"sending": replace(SENDING, closed_until=NOW + timedelta(seconds=2))},
            Code.CLOSED,
            Severity.WARNING,
            "for 2 s",
        ),
    ],
)
def test_each_fault_is_one_finding_that_says_what_is_so_and_what_to_do(changes, code, severity, words):
    (found,) = findings(replace(WELL, **changes))

    assert (found.code, found.severity) == (code, severity)
    assert words in found.sentence
    assert found.remedy


def test_a_lane_without_work_and_without_a_worker_lately_is_a_choice_and_no_fault():
    assert codes(replace(WELL, heartbeats=(BEAT, INTERACTIVE))) == []


def test_a_lane_that_lost_its_worker_is_named_before_work_waits():
    (found,) = findings(replace(WELL, heartbeats=(BEAT, INTERACTIVE, replace(BULK, at=ago(300)))))[:1]

    assert (found.code, found.severity, found.lane) == (Code.LANE_WITHOUT_WORKER, Severity.WARNING, "scheduled")
    assert "bulk@vm did until 5 min ago" in found.sentence


def test_the_worst_comes_first():
    facts = replace(WELL, heartbeats=(BEAT, replace(BULK, away_ms=200), INTERACTIVE), sending=paused("account"))

    assert codes(facts) == [Code.ACCOUNT_REFUSED, Code.REDIS_FAR]


def test_who_reached_plivo_since_is_not_held_to_have_lost_it():
    sent = Activity("bulk@vm/32", ago(1), worker="bulk@vm", last_sent=ago(10))

    assert codes(replace(WELL, activities=(away("bulk@vm", 31, at=30), sent))) == []


def test_one_host_of_two_that_cannot_reach_plivo_is_named():
    other = worker("bulk@vm2", queue(Lane.BULK))
    sent = Activity("bulk@vm2/32", ago(1), worker="bulk@vm2", last_sent=ago(1))
    (found,) = findings(replace(WELL, heartbeats=(*WELL.heartbeats, other), activities=(away("bulk@vm", 31), sent)))

    assert (found.code, found.severity) == (Code.PLIVO_UNREACHABLE, Severity.HELD_BACK)
    assert "from vm, but from vm2" in found.sentence


def test_a_worker_that_waits_because_all_is_paused_is_not_called_stopped():
    facts = replace(
        WELL,
        sending=paused(),
        heartbeats=(BEAT, replace(BULK, taken=ago(600)), replace(INTERACTIVE, taken=ago(600))),
        queues=waiting(queue(Lane.BULK), 118),
    )

    assert codes(facts) == [Code.PAUSED]


def test_a_pauses_next_look_is_never_in_the_past():
    (past,) = findings(replace(WELL, sending=paused("account", next_look=ago(20))))
    (ahead,) = findings(replace(WELL, sending=paused("account", next_look=NOW + timedelta(seconds=20))))

    assert past.until is None
    assert ahead.until == NOW + timedelta(seconds=20)


def test_one_host_of_two_that_plivo_refuses_is_named_and_takes_no_lane():
    refused = worker("bulk@vm2", queue(Lane.BULK), queue(Lane.SCHEDULED), credentials="01d")
    sending = replace(SENDING, unknown_credentials={"01d": ago(180), "0f0": ago(600)})
    (found,) = findings(replace(WELL, sending=sending, heartbeats=(*WELL.heartbeats, refused)))
    alone = replace(WELL, sending=sending, heartbeats=(BEAT, INTERACTIVE, refused))

    assert (found.code, found.severity) == (Code.CREDENTIALS_REFUSED, Severity.HELD_BACK)
    assert found.sentence.startswith("Plivo does not know the credentials of bulk@vm2 (401) for 3 min")
    assert set(codes(alone)) == {Code.CREDENTIALS_REFUSED, Code.LANE_WITHOUT_WORKER}


def test_without_redis_there_are_no_facts_and_one_finding():
    found = redis_away(LedgerUnavailable("redis://127.0.0.1:1/0", "Connection refused"))

    assert (found.code, found.severity) == (Code.REDIS_AWAY, Severity.STOPPED)
    assert "redis://127.0.0.1:1/0: Connection refused" in found.sentence
