"""Plivo's limit is never exceeded, over all workers together, and its pace is used.

`make bench-pace` measures how much of the pace each lane uses. `tests/faults/test_pace_fails.py` shows what happens to
the pace when processes die or freeze.
"""

import sys

from celery import Celery
from support import celery_with_notes
from support.harness import Process, eventually, fresh_number, stopped

from ringproof import initiate_verification
from ringproof.ledger.connection import connect
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import State
from ringproof.policy import Policy
from worker.local.processes.redis_server import RedisServer

LIMIT, WINDOW = 20, 1
ON_THE_WAY_SECONDS = 0.02  # of the 60 ms that slots allow for delays, so much is left on a busy machine


def test_two_workers_together_keep_to_the_limit_and_use_it(plivo, environ, tmp_path):
    numbers = [fresh_number() for _ in range(3 * LIMIT)]

    with RedisServer() as server:
        own = environ | {"RINGPROOF_RATE": f"{LIMIT}/{WINDOW}s", "RINGPROOF_REDIS_URL": server.url}
        own |= {"FIRST_BYTES": str(tmp_path / celery_with_notes.NAME)}
        client = connect(server.url)
        ledger = Ledger(client, policy=Policy(range_codes_per_hour=0))  # all numbers are of one range
        requests = {number: ledger.accept(number, token=number, country="US").request for number in numbers}
        with (
            stopped(worker("one", own, tmp_path)) as one,
            stopped(worker("two", own, tmp_path)) as two,
        ):
            send_messages(server.url, requests)
            eventually(lambda: all(ledger.read(n).state is State.CODE_SENT for n in numbers), within=60)
            assert one.log.count("state=code_sent") > LIMIT / 2, "both took part"
            assert two.log.count("state=code_sent") > LIMIT / 4, "both took part"
        client.close()

    began = celery_with_notes.first_bytes(tmp_path)
    windows = [later - earlier for earlier, later in zip(began, began[LIMIT:], strict=False)]
    assert len(began) == len(numbers) + 2, "each worker asks for one entry of Plivo's list at its start"
    assert min(windows) > WINDOW + ON_THE_WAY_SECONDS, "Plivo would refuse none, however it counts"
    assert max(shares_used(began, celery_with_notes.missed_slots(tmp_path))) > 0.9, "of the slots in a window"


def shares_used(began, missed):
    """The share of the slots that the workers took, in each window of so many sends.

    A slot that a worker took and missed, because the machine was busy, counts as taken.
    """
    spacing = (WINDOW + 0.06) / LIMIT
    for start, end in zip(began, began[LIMIT:], strict=False):
        taken = LIMIT + sum(start < at <= end for at in missed)
        yield taken / ((end - start) / spacing)


def worker(name, environ, folder):
    """A worker that writes down when it asks Plivo."""
    command = [
        sys.executable,
        celery_with_notes.__file__,
        "-A",
        "worker",
        "worker",
        "-l",
        "INFO",
        "-c",
        "2",
        "-n",
        f"{name}@%h",
    ]
    return Process(command, folder / f"{name}.log", environ, folder).until_logged(" ready.")


def send_messages(url, requests):
    """Send the messages of accepted requests, as `delay` does."""
    producer = Celery("producer", broker=url, set_as_current=False)
    for number, request in requests.items():
        options = {"queue": "ringproof.interactive", "argsrepr": "(…)"}
        producer.send_task(initiate_verification.name, [number], {"request": request}, **options)
    producer.close()
