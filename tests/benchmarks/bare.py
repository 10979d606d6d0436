"""What a tutorial makes of it, with the settings that it calls reliable: a bare Celery task that posts and retries."""

import os

import requests
from celery import Celery

URL = os.environ["RINGPROOF_REDIS_URL"]
COLLECTION = f"{os.environ['PLIVO_BASE_URL']}/Account/{os.environ['PLIVO_AUTH_ID']}/VerifiedCallerId/"
AUTH = (os.environ["PLIVO_AUTH_ID"], os.environ["PLIVO_AUTH_TOKEN"])

app = Celery("bare", broker=URL, backend=URL)
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"visibility_timeout": 30},
)


@app.task(autoretry_for=(requests.RequestException,), retry_backoff=True, max_retries=5)
def verify(number):
    answer = requests.post(COLLECTION, json={"phone_number": number}, auth=AUTH, timeout=10)
    answer.raise_for_status()
    return answer.json()
