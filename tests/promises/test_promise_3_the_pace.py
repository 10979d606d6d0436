"""Never over Plivo's limit, and its pace used, over all workers together.

How much of it is used, and by which lane, is measured by `make bench-pace`; what goes wrong is in
`tests/faults/test_pace_fails.py`.
"""

from celery import Celery
from harness import Worker, eventually, fresh_number, stopped

from tasks import initiate_verification
from worker.ledger import Ledger, connect
from worker.local.redis_server import RedisServer
from worker.record import State

LIMIT, WINDOW = 20, 1


def test_two_workers_together_keep_to_the_limit_and_use_it(plivo, environ, tmp_path):
    plivo.switch(limit=LIMIT, window_seconds=WINDOW)  # Plivo's own limit, judged as strictly as can be
    numbers = [fresh_number() for _ in range(3 * LIMIT)]

    with RedisServer() as server:
        own = environ | {"RINGPROOF_RATE": f"{LIMIT}/{WINDOW}s", "RINGPROOF_REDIS_URL": server.url}
        client = connect(server.url)
        ledger = Ledger(client)
        requests = {number: ledger.accept(number, token=number, country="US").request for number in numbers}
        with (
            stopped(Worker(tmp_path / "one.log", own, tmp_path, "-n", "one@%h", concurrency=2)) as one,
            stopped(Worker(tmp_path / "two.log", own, tmp_path, "-n", "two@%h", concurrency=2)),
        ):
            send_messages(server.url, requests)
            eventually(lambda: all(ledger.read(n).state is State.CODE_SENT for n in numbers), within=30)
            assert one.log.count("code_sent") > LIMIT / 2, "both took part"
        client.close()

    arrivals = [request["monotonic"] for request in plivo.requests()]
    assert [request["status"] for request in plivo.requests()] == [201] * len(numbers), "none was refused"
    pace = (len(arrivals) - 1) / (arrivals[-1] - arrivals[0])
    assert pace > 0.9 * LIMIT / (WINDOW + 0.06), f"{pace:.1f} a second"


def send_messages(url, requests):
    """Send the messages of accepted requests, as `delay` does after it accepted."""
    producer = Celery("producer", broker=url, set_as_current=False)
    for number, request in requests.items():
        options = {"queue": "ringproof.interactive", "argsrepr": "(…)"}
        producer.send_task(initiate_verification.name, [number], {"request": request}, **options)
    producer.close()
