"""How an attempt ends: every error of the client has a state in the ledger, and a wait if it is tried again."""

import ast
import inspect
from datetime import timedelta

import pytest

from ringproof.errors import (
    Failed,
    Forbidden,
    LeaseOver,
    Rejected,
    RingproofError,
    Throttled,
    Unauthorized,
    Unknown,
    Unreachable,
    Unsent,
    WrongCode,
)
from ringproof.ledger.answers import PlivoSignal
from ringproof.ledger.record import FIELD_BYTES, Reason, State
from ringproof.phone.masking import shorten
from ringproof.plivo import client, transport
from worker.sending import outcomes
from worker.sending.outcomes import OUTCOMES, outcome_of, signal_of

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


def leaves(branch):
    """The classes below a branch that have none below themselves; the branch itself if it has none."""
    return {leaf for below in branch.__subclasses__() for leaf in leaves(below)} or {branch}


CLIENTS = leaves(Unsent) | leaves(Unknown) | {Rejected, Forbidden}


def test_every_error_of_the_client_has_an_outcome_and_no_other_has():
    assert set(OUTCOMES) == CLIENTS


def test_the_client_raises_no_other_error():
    """Every error that the client's modules name has an outcome, except those that no initiate raises."""
    named = {
        node.id
        for module in (client, transport)
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.Name) and inspect.isclass(vars(module).get(node.id))
        if issubclass(vars(module)[node.id], RingproofError)
    }

    others = {"InvalidNumber", "Misconfigured", "RingproofError", "WrongCode"}
    assert named - others == {error.__name__ for error in CLIENTS - {LeaseOver}}


@pytest.mark.parametrize(
    ("error", "state", "reason", "wait", "counted"),
    [
        (Rejected("400 bad"), State.FAILED, Reason.REJECTED, 0 * SECOND, True),
        (Forbidden("403 no"), State.FAILED, Reason.FORBIDDEN, 0 * SECOND, True),
        (Unknown("502"), State.IN_DOUBT, None, 0 * SECOND, True),
        (Unreachable("refused"), State.WAITING, Reason.UNREACHABLE, 30 * SECOND, True),
        (LeaseOver("frozen"), State.WAITING, Reason.PACE, 0 * SECOND, False),
        (Throttled("429"), State.WAITING, Reason.PACE, 0 * SECOND, False),
        (Unauthorized("401"), State.WAITING, Reason.PAUSED, 0 * SECOND, False),
    ],
)
def test_each_error_ends_in_one_state_with_a_reason_and_a_wait(error, state, reason, wait, counted):
    outcome = outcome_of(error, 1)

    assert (outcome.state, outcome.reason, outcome.wait, outcome.counted) == (state, reason, wait, counted)
    assert outcome.detail == (error.detail if isinstance(error, Failed) else error.cause)


@pytest.mark.parametrize("error", sorted(leaves(Unsent), key=str))
def test_a_request_that_was_surely_not_sent_waits_and_never_fails(error):
    assert outcome_of(error("why"), 1).state is State.WAITING


@pytest.mark.parametrize("error", [Throttled("429"), Throttled("429", 7.0), Unauthorized("401")])
def test_a_429_and_a_401_burn_no_attempt(error):
    assert not outcome_of(error, 1).counted


@pytest.mark.parametrize(
    ("attempts", "wait"),
    [
        (1, 30 * SECOND),
        (2, 1 * MINUTE),
        (3, 2 * MINUTE),
        (4, 4 * MINUTE),
        (5, 8 * MINUTE),
        (6, 15 * MINUTE),
        (7, 15 * MINUTE),
        (100, 15 * MINUTE),
        (10**9, 15 * MINUTE),
    ],
)
def test_an_unreachable_plivo_is_asked_again_after_longer_and_longer(attempts, wait):
    assert outcome_of(Unreachable("refused"), attempts).wait == wait


@pytest.mark.parametrize(
    ("error", "plivo_signal"),
    [
        (Rejected("400 no"), PlivoSignal.ANSWERED),
        (Rejected("404 no"), PlivoSignal.NOT_FOUND),
        (Rejected("405"), PlivoSignal.NOT_FOUND),
        (Forbidden("402"), PlivoSignal.NO_CREDIT),
        (Forbidden("403 no"), PlivoSignal.FORBIDDEN),
        (Unknown("502"), PlivoSignal.DOUBTFUL),
        (Unreachable("refused"), PlivoSignal.NONE),
        (LeaseOver("frozen"), PlivoSignal.NONE),
        (Throttled("429", 7.0), PlivoSignal.THROTTLED),
        (Unauthorized("401"), PlivoSignal.UNAUTHORIZED),
    ],
)
def test_each_error_has_its_signal_to_all_sending(error, plivo_signal):
    outcome = outcome_of(error, 1)

    assert outcome.plivo_signal is plivo_signal
    assert outcome.retry_after == (7.0 if plivo_signal is PlivoSignal.THROTTLED else None)
    about_sends = {
        PlivoSignal.NO_CREDIT: PlivoSignal.KNOWN,
        PlivoSignal.FORBIDDEN: PlivoSignal.KNOWN,
        PlivoSignal.NOT_FOUND: PlivoSignal.ANSWERED,
    }
    assert signal_of(error) is about_sends.get(plivo_signal, plivo_signal)


def test_a_wrong_code_shows_that_plivo_accepts_the_credentials():
    assert signal_of(WrongCode("400 wrong")) is PlivoSignal.KNOWN


@pytest.mark.parametrize(
    ("retry_after", "wait"),
    [
        (7.0, 7 * SECOND),
        (1.5, 1.5 * SECOND),
        (900.0, 15 * MINUTE),
        (0.0, outcomes.SHORTEST_WAIT),
        (0.2, outcomes.SHORTEST_WAIT),
    ],
)
def test_retry_after_is_honoured_but_never_makes_a_busy_loop(retry_after, wait):
    assert outcome_of(Unreachable("busy", retry_after), 3).wait == wait


@pytest.mark.parametrize("error", sorted(CLIENTS, key=str))
@pytest.mark.parametrize(
    "text", ["", "short", "e" * 10_000, "é" * 40, "☎" * 30, "👩‍👧" * 20, "a" * 63 + "é"], ids=lambda text: text[:5]
)
def test_the_detail_fits_a_packed_field_and_ends_between_two_characters(error, text):
    kept = shorten(outcome_of(error(text), 1).detail)

    assert len(kept.encode()) <= FIELD_BYTES
    assert text.startswith(kept)
    assert kept == text or len(kept.encode()) > FIELD_BYTES - 4
