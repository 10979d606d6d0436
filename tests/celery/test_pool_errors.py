"""An error that a child tells its parent about goes through their pipe in one piece, however deep it was raised."""

import os
import pickle

import pytest
from billiard.einfo import ExceptionInfo
from billiard.queues import _SimpleQueue as SimpleQueue
from celery.exceptions import Ignore

from ringproof.errors import LedgerUnavailable, TooFewReplicas
from worker.celery.pool_errors import LONGEST_TEXT, ONE_PIECE, send_errors_in_one_piece

HEADER = 4


@pytest.fixture
def queue():
    """What a child of billiard's writes into; nobody reads it meanwhile. What does not fit raises an error here."""
    send_errors_in_one_piece()
    queue = SimpleQueue(wnonblock=True)
    yield queue
    queue.close()


def raise_at(depth, error):
    """Raise an error from as many calls; each has met another error before."""
    if depth == 0:
        raise error
    try:
        raise ValueError("•" * 100)
    except ValueError:
        raise_at(depth - 1, error)


@pytest.mark.parametrize("depth", [0, 1, 20, 100])
@pytest.mark.parametrize(
    "error", [TooFewReplicas("redis://host", "0 of 1 replicas follow"), LedgerUnavailable("redis://host", "é" * 500)]
)
def test_an_error_is_written_in_one_piece(queue, depth, error):
    try:
        raise_at(depth, error)
    except LedgerUnavailable:
        info = ExceptionInfo()

    queue.put(info)
    whole = os.read(queue._reader.fileno(), 10 * ONE_PIECE)
    arrived = pickle.loads(whole[HEADER:])

    assert len(whole) - HEADER == int.from_bytes(whole[:HEADER], "big")
    assert len(whole) <= ONE_PIECE
    assert (type(arrived.exception), arrived.type) == (type(error), type(error))
    assert arrived.exception.args == error.args
    assert arrived.traceback == info.traceback[-LONGEST_TEXT:]
    assert info.tb, "the child's own log still has the frames"


def test_what_celery_tells_its_parent_by_an_error_arrives(queue):
    """The parent acknowledges a message by it."""
    try:
        raise_at(5, Ignore())
    except Ignore:
        queue.put(ExceptionInfo(internal=True))

    arrived = queue.get()
    assert isinstance(arrived.exception, Ignore)
    assert arrived.internal
