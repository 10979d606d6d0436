"""A record as a person reads it."""

import io
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from ringproof.ledger.record import Change, Reason, Record, State
from worker.views.number import next_step, number_view
from worker.views.text import clock

NOW = datetime.now(UTC)
SOON = NOW + timedelta(hours=1)


@pytest.fixture(autouse=True)
def it_is_now(monkeypatch):
    """Let no midnight pass between two lines, however long all tests take."""

    class Still(datetime):
        @classmethod
        def now(cls, tz=None):
            return NOW.astimezone(tz)

    monkeypatch.setattr("worker.views.number.datetime", Still)
    monkeypatch.setattr("worker.views.text.datetime", Still)


def record(state, **fields):
    times = dict.fromkeys(("ends_at", "due_at", "lease_until", "live_until", "expires_at"), SOON)
    return Record("+14155550123", state, 1_764_000_000, **(times | fields))


def shown(told, width=80):
    console = Console(file=io.StringIO(), width=width)
    console.print(told)
    return console.file.getvalue()


@pytest.mark.parametrize("state", State)
def test_every_state_tells_what_comes_next_and_shows_nobodys_number(state):
    told = shown(number_view(record(state, alias="Front desk")))

    assert next_step(record(state))
    assert "next" in told
    assert "Front desk" in told
    assert "4155550123" not in told


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (State.QUEUED, "too_late"),
        (State.WAITING, "not before"),
        (State.SENDING, "the lease's end"),
        (State.CODE_SENT, "works until"),
        (State.IN_DOUBT, "a code may be out"),
    ],
)
def test_what_is_not_final_says_until_when(state, word):
    assert word in next_step(record(state))
    assert clock(SOON) in next_step(record(state))


def test_a_code_that_nobody_entered_is_not_said_to_work():
    assert "expired" in next_step(record(State.CODE_SENT, expires_at=NOW - timedelta(minutes=1)))


def test_a_failure_says_why_and_what_to_do():
    told = shown(number_view(record(State.FAILED, reason=Reason.REJECTED, detail="invalid number")), 200)

    assert "failed (rejected)" in told
    assert "invalid number" in told
    assert "correct what it names and ask again" in told


def test_the_history_stands_in_its_order_with_reasons():
    changes = (Change(NOW, State.QUEUED, None), Change(NOW, State.WAITING, Reason.PAUSED))

    told = shown(number_view(record(State.WAITING, history=changes)))

    assert told.index("queued") < told.index("waiting (paused)", told.index("history"))


def test_another_days_time_has_its_date():
    long_ago = NOW - timedelta(days=3)

    assert f"{long_ago.astimezone():%Y-%m-%d}" in clock(long_ago)
    assert "-" not in clock(NOW)


def test_it_fits_a_narrow_terminal():
    told = shown(number_view(record(State.SENDING, alias="x" * 200)), width=40)

    assert max(map(len, told.splitlines())) <= 40
