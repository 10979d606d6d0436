"""`ringproof status` of the sending as a whole: its lines, its exit code, and a watch of it."""

import json
import re
import signal
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console
from support.harness import Terminal, ledger_of, started

from ringproof.ledger.activity import Tick
from ringproof.ledger.control import pause, resume, sending_status
from ringproof.ledger.heartbeats import Heartbeat
from ringproof.ledger.last_minute import LastMinute
from ringproof.ledger.queues import QUEUES, queue
from ringproof.ledger.record import Lane
from worker.observe.facts import Facts, Queue
from worker.observe.findings import findings
from worker.views.exit_code import Exit
from worker.views.movement import exit_of
from worker.views.sending import sending_view
from worker.views.status_json import status_json


@pytest.fixture
def facts(ledger):
    """An installation that sends a batch."""
    sending = replace(sending_status(ledger), rate="300/5s", share=1.0, pauses=(), open_numbers=1204)
    now = sending.now
    fields = {"at": now, "host": "vm", "version": "0.1.0", "taken": now - timedelta(seconds=2)}
    lanes = [queue(lane) for lane in Lane]
    return Facts(
        sending,
        heartbeats=(
            Heartbeat("beat@vm", now, kind="beat", host="vm", version="0.1.0"),
            Heartbeat("bulk@vm", queues=("ringproof.ticks", *lanes), **fields),
        ),
        queues=dict.fromkeys(QUEUES, Queue()) | {queue(Lane.BULK): Queue(118, now - timedelta(seconds=3))},
        ticks={"sweep": Tick("sweep", now - timedelta(seconds=4), 12.2, "3 enqueue", "bulk@vm")},
        last_sweep=now - timedelta(seconds=4),
        feeding=1,
        in_doubt=3,
        minute=LastMinute(60.0, {"bulk": 3490, "interactive": 22}, {"bulk": 3500, "interactive": 22, "question": 9}),
    )


def shown(facts):
    console = Console(width=200, color_system=None)
    with console.capture() as captured:
        console.print(sending_view(facts, findings(facts)))
    return "\n".join(map(str.rstrip, captured.get().splitlines()))


def test_what_moves_is_shown_lane_by_lane(facts):
    text = shown(facts)

    for line in (
        r"^sending +goes on: 3,512 codes in the last minute$",
        r"^ +99% was used in the last minute: bulk 98\.4%, interactive 0\.6%, questions 0\.3%$",
        r"^lanes +interactive +22 codes in the last minute; 0 messages in the queue$",
        r"^ +bulk +3,490 codes in the last minute; 118 messages in the queue, the oldest number for 3 s; rows of",
        r"^open +1,204 numbers are not final, 3 of them in doubt$",
        r"^ticks +sweep +4 s ago in 12 ms, by bulk@vm: 3 enqueue$",
        r"^workers +vm \(0\.1\.0\): bulk@vm \(ticks, .*, bulk, last took a message 2 s ago\); beat@vm$",
    ):
        assert re.search(line, text, re.MULTILINE), text
    assert exit_of(findings(facts)) is Exit.DONE


def test_sending_goes_on_only_if_a_code_was_sent(facts):
    none = LastMinute(60.0, {}, {})
    idle = replace(facts, minute=none, feeding=0, queues=dict.fromkeys(QUEUES, Queue()))

    assert "begins: work waits, and 0 codes in the last minute" in shown(replace(facts, minute=none))
    assert "nothing to send; 0 codes in the last minute" in shown(idle)


def test_what_is_wrong_comes_first_with_what_to_do_and_an_exit_code_of_its_own(facts):
    stopped = replace(facts, heartbeats=())
    held_back = replace(facts, heartbeats=facts.heartbeats[1:], last_sweep=facts.now - timedelta(minutes=2))

    assert re.search(r"^wrong +no worker takes messages: 118 messages wait$", shown(stopped), re.MULTILINE)
    assert "to do: start one: ringproof worker -P threads -c 16 -B (docs/operating/runbook.md#no_worker)" in shown(
        stopped
    )
    assert "nothing moves; 3,512 codes in the last minute" in shown(stopped)
    assert "something is held back" in shown(held_back)
    assert [exit_of(findings(one)) for one in (stopped, held_back)] == [Exit.REFUSED, Exit.UNFINISHED]


def test_the_json_has_the_same_with_an_end_where_there_is_one(facts):
    closed = replace(facts.sending, closed_until=facts.now + timedelta(minutes=1))
    found = json.loads(status_json(facts, findings(facts)))
    held = json.loads(status_json(replace(facts, sending=closed), findings(replace(facts, sending=closed))))

    assert (found["sending"], found["findings"]) == ("goes_on", [])
    assert found["last_minute"]["codes"] == {"bulk": 3490, "interactive": 22}
    assert found["oldest_seconds"] == {"interactive": None, "scheduled": None, "bulk": 3.0, "ticks": None}
    assert (found["in_doubt"], found["open_numbers"], found["rate"]) == (3, 1204, "300/5s")
    assert held["sending"] == "held_back"
    assert datetime.fromisoformat(held["findings"][0]["until"]) > datetime.now(UTC)


class TestWatch:
    def test_a_terminal_shows_it_again_until_ctrl_c(self, idle, tmp_path, ledger_of_idle):
        with Terminal(idle, tmp_path, "status", "--watch") as terminal:
            terminal.until_shown("no worker takes messages")
            pause(ledger_of_idle, reason="a reason that is new")
            terminal.until_shown("a reason that is new")
            terminal.process.send_signal(signal.SIGINT)

            assert terminal.end() == Exit.REFUSED
            assert "no longer watched" in terminal.shown
            assert "Traceback" not in terminal.shown

    def test_elsewhere_it_is_a_line_each_time(self, idle, tmp_path):
        with started(idle, tmp_path, "status", "--watch") as watch:
            printed = [watch.stdout.readline() for _ in range(2)]
            watch.send_signal(signal.SIGINT)
            watch.communicate(timeout=30)

        assert all(re.match(r"\d\d:\d\d:\d\d UTC  nothing moves; .*no worker takes messages", line) for line in printed)
        assert watch.returncode == Exit.REFUSED

    def test_json_is_an_object_each_time(self, idle, tmp_path):
        with started(idle, tmp_path, "status", "--watch", "--json") as watch:
            objects = [json.loads(watch.stdout.readline()) for _ in range(2)]
            watch.send_signal(signal.SIGINT)
            watch.communicate(timeout=30)

        assert [one["findings"][0]["code"] for one in objects] == ["no_worker"] * 2

    def test_a_number_is_not_watched(self, run):
        done = run("status", "--watch", "+14155550123")

        assert done.returncode == 2
        assert "leave out the number" in done.stderr


@pytest.fixture
def ledger_of_idle(idle):
    with ledger_of(idle) as ledger:
        yield ledger
        resume(ledger)
