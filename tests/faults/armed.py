"""A worker or a producer as it is in production, but for what a test has armed: `python armed.py -A worker worker …`.

Its ledger's time is moved by the key `test:clock`, its durations are those of `FAULTS_DURATIONS` (JSON, in seconds).
At each named point it looks for the key `test:point:{point}:{number}`, which says `kill` or `stop`: then it notes its
process id in `test:reached:{point}:{number}` and does that to itself. `FAULTS_OFF` is how many seconds its own clock
is off. None of these is read by anything but this file. `FIRST_BYTES` is what celery_with_notes.py reads.
"""

import http.client
import json
import os
import signal
import sys
import threading
import time
from datetime import timedelta
from functools import lru_cache, wraps
from pathlib import Path

if seconds_off := float(os.environ.get("FAULTS_OFF", "0")):
    right = time.time
    time.time = lambda: right() + seconds_off

sys.path.insert(0, str(Path(__file__).parents[1]))

import redis
import redis.connection
from support import celery_with_clock, celery_with_notes  # noqa: F401  # the first moves the ledger's clock

import ringproof
from ringproof.celery import verification as producer
from ringproof.ledger import ledger
from ringproof.plivo import client, transport
from tasks import verification
from worker.celery import shutdown
from worker.sending.senders import SENDERS

NUMBERS = threading.local()


def durations():
    """What the test has shortened."""
    seconds_of = json.loads(os.environ.get("FAULTS_DURATIONS", "{}"))
    return ledger.Durations(**{name: timedelta(seconds=seconds) for name, seconds in seconds_of.items()})


@lru_cache(maxsize=1)
def probe(_pid):
    return redis.Redis.from_url(os.environ["RINGPROOF_REDIS_URL"], decode_responses=True)


def reach(point, number):
    """Die or stop here, if that was armed for this number."""
    deed = probe(os.getpid()).getdel(f"test:point:{point}:{number}")
    if deed:
        probe(os.getpid()).set(f"test:reached:{point}:{number}", os.getpid())
        # To this thread, which would run on for a moment if another one got the signal for all.
        signal.pthread_kill(threading.get_ident(), {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}[deed])


def around(owner, name, number_of, before=None, after=None):
    """Put points before and after a function; `number_of` finds the number in its arguments, `self` among them."""
    usual = getattr(owner, name)

    @wraps(usual)
    def pointed(*args, **options):
        number = number_of(*args)
        if before:
            reach(before, number)
        answer = usual(*args, **options)
        if after:
            reach(after, number)
        return answer

    setattr(owner, name, pointed)


def arm():
    """Put up all points, in the order in which a number comes by."""
    around(producer, "accept", lambda accepting: accepting.wanted.number.e164, after="accepted")
    around(ledger.Ledger, "begin", lambda _, requests: requests[0][0], after="begun")
    _arm_the_client()
    _arm_the_settling()
    around(ledger.Ledger, "settle_many", lambda _, settlements: settlements[0].phone_number, after="settled")
    _one_after_the_other()


def _one_after_the_other():
    """A child takes no message while it sends, so that what befalls a number befalls no other one."""
    begin_one = verification.begin_one

    def waiting(ours, senders, *args):
        answer = begin_one(ours, senders, *args)
        while senders.threads.free < SENDERS:
            time.sleep(0.01)
        return answer

    verification.begin_one = waiting


def _arm_the_client():
    initiate = client.PlivoClient.initiate

    def pointed(self, number, *, before_first_byte, **options):
        def look():
            reach("last_look", number)
            before_first_byte()

        NUMBERS.sending = number
        answer = initiate(self, number, before_first_byte=look, **options)
        reach("answered", number)
        return answer

    client.PlivoClient.initiate = pointed
    around(http.client.HTTPConnection, "getresponse", lambda *_: getattr(NUMBERS, "sending", None), before="written")


def _arm_the_settling():
    """The point at which Redis has settled, and its answer is not yet read.

    Only the answer to the script is that point. A new connection also asks and reads, before the script is sent.
    """
    connection = redis.connection.AbstractConnection
    settle, send, read_response = ledger.Ledger.settle_many, connection.send_packed_command, connection.read_response

    def settling(self, settlements):
        NUMBERS.settling = settlements[0].phone_number
        try:
            return settle(self, settlements)
        finally:
            NUMBERS.settling = NUMBERS.settled = None

    def sending(self, command, *args, **options):
        answer = send(self, command, *args, **options)
        parts = [command] if isinstance(command, bytes) else command
        if any(b"EVALSHA" in part for part in parts):
            NUMBERS.settled = getattr(NUMBERS, "settling", None)
        return answer

    def reading(self, *args, **options):
        number, NUMBERS.settled = getattr(NUMBERS, "settled", None), None
        if number:
            reach("settling", number)
        return read_response(self, *args, **options)

    ledger.Ledger.settle_many = settling
    connection.send_packed_command = sending
    connection.read_response = reading


def shorten():
    """Use the durations wherever a ledger is built, and give up on Plivo sooner."""
    build = ledger.Ledger.__init__
    build.__kwdefaults__["durations"] = durations()
    shutdown.GRACE_SECONDS = float(os.environ.get("FAULTS_GRACE_SECONDS", shutdown.GRACE_SECONDS))
    if seconds := os.environ.get("FAULTS_ANSWER_SECONDS"):
        client.PlivoClient.__init__.__kwdefaults__["timeouts"] = transport.HttpTimeouts(answer_seconds=float(seconds))


shorten()

if __name__ == "__main__":
    if "points" in os.environ.get("FAULTS", ""):
        arm()
    celery_with_notes.note(os.environ["FIRST_BYTES"])
    if sys.argv[1] == "enqueue":
        for argument in sys.argv[2:]:
            ringproof.initiate_verification.apply_async((argument,), queue="ringproof.bulk")
        sys.exit()

    from celery.__main__ import main

    sys.exit(main())
