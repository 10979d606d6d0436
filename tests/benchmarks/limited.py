"""The same job with a limiter that one can have today: a Celery task that waits for LIMITER's word, and then asks.

What is refused all the same is tried again when the API says. It knows nothing of Ringproof.
"""

import os
import time
from datetime import timedelta

import requests
from celery import Celery

URL = os.environ["RINGPROOF_REDIS_URL"]
COLLECTION = f"{os.environ['PLIVO_BASE_URL']}/Account/{os.environ['PLIVO_AUTH_ID']}/VerifiedCallerId/"
LIMITER, NUMBER, WINDOW = os.environ["LIMITER"], int(os.environ["LIMIT"]), int(os.environ["WINDOW_SECONDS"])
WORKERS = int(os.environ["WORKERS"])
SHORTEST_SLEEP_SECONDS = 0.002  # a reset that is due at this very moment is no reason for a busy loop


def limits():
    """The moving window of `limits`: ask, and sleep until the oldest hit leaves the window."""
    from limits import RateLimitItemPerSecond, storage, strategies  # noqa: PLC0415  # may not be installed

    item = RateLimitItemPerSecond(NUMBER, WINDOW)
    limiter = strategies.MovingWindowRateLimiter(storage.storage_from_string(URL))

    def wait():
        while not limiter.hit(item, "plivo"):
            reset = limiter.get_window_stats(item, "plivo").reset_time
            time.sleep(max(SHORTEST_SLEEP_SECONDS, reset - time.time()))

    return wait


def throttled(burst):
    """GCRA by throttled-py, with its own waiting."""
    from throttled import Throttled, rate_limiter, store  # noqa: PLC0415  # as above

    quota = rate_limiter.per_duration(timedelta(seconds=WINDOW), NUMBER, burst=burst)
    limiter = Throttled(key="plivo", using="gcra", quota=quota, store=store.RedisStore(server=URL), timeout=60)

    def wait():
        while limiter.limit().limited:
            pass

    return wait


def nothing():
    """Wait for nothing."""


wait = {"limits": limits, "throttled": lambda: throttled(None), "throttled-1": lambda: throttled(1)}.get(
    LIMITER, lambda: nothing
)()
session = requests.Session()
session.auth = (os.environ["PLIVO_AUTH_ID"], os.environ["PLIVO_AUTH_TOKEN"])

app = Celery("limited", broker=URL)
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
)


@app.task(bind=True, rate_limit=f"{NUMBER / WINDOW / WORKERS}/s" if LIMITER == "rate_limit" else None, max_retries=None)
def verify(self, number):
    wait()
    answer = session.post(COLLECTION, json={"phone_number": number}, timeout=10)
    if answer.status_code == 429:
        raise self.retry(countdown=float(answer.headers["Retry-After"]))
    answer.raise_for_status()
