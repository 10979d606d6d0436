"""The view of a number's record."""

import io
import json
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from ringproof.ledger.activity import Sender
from ringproof.ledger.record import Change, Reason, Record, State
from worker.views.number import next_step_text, number_json, number_view
from worker.views.text import clock

NOW = datetime.now(UTC)
SOON = NOW + timedelta(hours=1)


@pytest.fixture(autouse=True)
def it_is_now(monkeypatch):
    """Stop the clock, so that no midnight passes between two lines of a test."""

    class Still(datetime):
        @classmethod
        def now(cls, tz=None):
            return NOW.astimezone(tz)

    monkeypatch.setattr("worker.views.number.datetime", Still)
    monkeypatch.setattr("worker.views.text.datetime", Still)


def record(state, **fields):
    times = dict.fromkeys(("ends_at", "due_at", "lease_until", "live_until", "expires_at"), SOON)
    return Record("+14155550123", state, 1_764_000_000, **(times | fields))


def shown(view, width=80):
    console = Console(file=io.StringIO(), width=width)
    console.print(view)
    return console.file.getvalue()


@pytest.mark.parametrize("state", State)
def test_every_state_shows_what_happens_next_and_a_masked_number(state):
    text = shown(number_view(record(state, alias="Front desk")))

    assert next_step_text(record(state))
    assert "next" in text
    assert "Front desk" in text
    assert "4155550123" not in text


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (State.QUEUED, "too_late"),
        (State.WAITING, "not before"),
        (State.SENDING, "the lease's end"),
        (State.CODE_SENT, "works until"),
        (State.IN_DOUBT, "Plivo may have sent a code"),
    ],
)
def test_a_state_that_is_not_final_shows_until_when(state, word):
    assert word in next_step_text(record(state))
    assert clock(SOON) in next_step_text(record(state))


def test_a_code_whose_time_is_over_is_shown_as_expired():
    assert "expired" in next_step_text(record(State.CODE_SENT, expires_at=NOW - timedelta(minutes=1)))


def test_an_erased_number_whose_code_may_work_does_not_send_its_user_to_ask_again():
    text = next_step_text(record(State.EXPIRED, live_until=NOW + timedelta(minutes=9)))

    assert "erased" in text
    assert clock(NOW + timedelta(minutes=9)) in text
    assert "the code was not entered in time" in next_step_text(record(State.EXPIRED, live_until=NOW))


def test_a_failure_shows_why_and_what_to_do():
    text = shown(number_view(record(State.FAILED, reason=Reason.REJECTED, detail="invalid number")), 200)

    assert "failed (rejected)" in text
    assert "invalid number" in text
    assert "correct what Plivo names, and ask again" in text


def test_a_reason_has_its_place_in_the_documentation():
    assert "results-and-errors.md#reason-quiet_hours" in shown(
        number_view(record(State.WAITING, reason=Reason.QUIET_HOURS)), 200
    )


def test_the_history_is_in_order_and_has_reasons():
    changes = (Change(NOW, State.QUEUED, None), Change(NOW, State.WAITING, Reason.PAUSED))

    text = shown(number_view(record(State.WAITING, history=changes)))

    assert text.index("queued") < text.index("waiting (paused)", text.index("history"))


def test_a_time_of_another_day_has_its_date():
    long_ago = NOW - timedelta(days=3)

    assert f"{long_ago.astimezone():%Y-%m-%d}" in clock(long_ago)
    assert "-" not in clock(NOW)


def test_the_view_fits_a_narrow_terminal():
    text = shown(number_view(record(State.SENDING, alias="x" * 200)), width=40)

    assert max(map(len, text.splitlines())) <= 40


def test_a_number_that_is_sent_to_shows_by_whom():
    there = Sender("bulk@vm", "vm", 123)

    assert "bulk@vm (pid 123)" in shown(number_view(record(State.SENDING), sender=there))
    assert "bulk (on vm, pid 123)" in shown(number_view(record(State.SENDING), sender=Sender("bulk", "vm", 123)))
    assert "sent by" not in shown(number_view(record(State.SENDING)))
    assert json.loads(number_json(record(State.SENDING), there))["sent_by"] == {
        "worker": "bulk@vm",
        "host": "vm",
        "pid": 123,
    }
