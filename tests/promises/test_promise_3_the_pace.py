"""Never over Plivo's limit, and its pace used, over all workers together.

How much of it is used, and by which lane, is measured by `make bench-pace`; what goes wrong is in
`tests/faults/test_pace_fails.py`.
"""

import sys

from celery import Celery
from support import celery_with_notes
from support.harness import Process, eventually, fresh_number, stopped

from ringproof.ledger.connection import connect
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import State
from tasks import initiate_verification
from worker.local.processes.redis_server import RedisServer

LIMIT, WINDOW = 20, 1
ON_THE_WAY_SECONDS = 0.02  # what is left of the 60 ms between windows when a machine is busy


def test_two_workers_together_keep_to_the_limit_and_use_it(plivo, environ, tmp_path):
    numbers = [fresh_number() for _ in range(3 * LIMIT)]

    with RedisServer() as server:
        own = environ | {"RINGPROOF_RATE": f"{LIMIT}/{WINDOW}s", "RINGPROOF_REDIS_URL": server.url}
        own |= {"FIRST_BYTES": str(tmp_path / celery_with_notes.NAME)}
        client = connect(server.url)
        ledger = Ledger(client)
        requests = {number: ledger.accept(number, token=number, country="US").request for number in numbers}
        with (
            stopped(worker("one", own, tmp_path)) as one,
            stopped(worker("two", own, tmp_path)),
        ):
            send_messages(server.url, requests)
            eventually(lambda: all(ledger.read(n).state is State.CODE_SENT for n in numbers), within=60)
            assert one.log.count("code_sent") > LIMIT / 2, "both took part"
        client.close()

    began = celery_with_notes.first_bytes(tmp_path)
    windows = [later - earlier for earlier, later in zip(began, began[LIMIT:], strict=False)]
    assert len(began) == len(numbers)
    assert min(windows) > WINDOW + ON_THE_WAY_SECONDS, "none would be refused, judged as strictly as can be"
    pace = LIMIT / min(windows)
    assert pace > 0.9 * LIMIT / (WINDOW + 0.06), f"{pace:.1f} a second, when the machine was least busy"


def worker(name, environ, folder):
    """A worker that notes when it asks Plivo."""
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
    """Send the messages of accepted requests, as `delay` does after it accepted."""
    producer = Celery("producer", broker=url, set_as_current=False)
    for number, request in requests.items():
        options = {"queue": "ringproof.interactive", "argsrepr": "(…)"}
        producer.send_task(initiate_verification.name, [number], {"request": request}, **options)
    producer.close()
