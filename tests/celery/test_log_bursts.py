"""Of many equal warnings one is written, and later one that counts the others."""

import logging
import threading
import time
from collections import Counter

import pytest
from support.harness import eventually

from worker.celery.log_bursts import Bursts
from worker.celery.logs import Redacting
from worker.celery.outcome_log import Event, about


@pytest.fixture
def logged():
    """A logger as a worker has it, with short bursts, and what it has written."""
    lines = []

    class Kept(logging.Handler):
        def emit(self, record):
            lines.append(self.format(record))

    logger, handler = logging.getLogger("test.bursts"), Kept()
    handler.addFilter(Bursts(seconds=0.5))
    handler.addFilter(Redacting())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    yield logger, lines
    eventually(lambda: not any(burst.count for burst in handler.filters[0]._bursts.values()))
    logger.removeHandler(handler)
    logger.propagate = True


def test_what_64_threads_say_at_once_is_one_line_and_later_one_with_their_count(logged):
    logger, lines = logged
    moments = []
    logger.handlers[0].addFilter(lambda record: moments.append(record.created) or True)
    threads = [threading.Thread(target=logger.warning, args=("Redis is away: %s", nth)) for nth in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(lines) == 1
    eventually(lambda: len(lines) == 2)
    assert lines[1].startswith("Redis is away: ")
    assert lines[1].endswith(" (one of 63 in 0 s)")
    assert moments[1] - moments[0] >= 0.4, "the second has the time at which it is written"


def test_after_a_quiet_time_the_next_line_is_written_at_once(logged):
    logger, lines = logged
    logger.warning("no tick was sent: %s", 1)
    written_at = time.monotonic()
    eventually(lambda: time.monotonic() - written_at > 0.5)
    logger.warning("no tick was sent: %s", 2)

    assert lines == ["no tick was sent: 1", "no tick was sent: 2"]


def test_other_texts_other_levels_and_outcomes_are_all_written(logged):
    logger, lines = logged
    for nth in range(3):
        logger.info("fed %d rows", nth)
        logger.warning("%s", f"complaint {'abc'[nth]}")
        logger.warning("too late", extra=about(Event.ATTEMPT, "+14155550123"))
        for kind in (ValueError, KeyError):
            try:
                raise kind
            except kind:
                logger.exception("it failed")

    assert Counter(line.partition("\n")[0].partition(" ")[0] for line in lines) == {
        "fed": 3,
        "complaint": 3,
        "too": 3,
        "it": 2,
    }
