"""The Celery application as a worker process runs it: `celery -A worker worker`, `from worker.celery import app`.

It is the application of `ringproof.celery.app`. This module adds the task bodies, the check at the start, beat and
logging.
"""

import gc
from typing import Any, Final

from celery import signals

from ringproof import runtime
from ringproof.celery.app import app
from ringproof.ledger.role import Role
from worker.celery.beat import SCHEDULE
from worker.celery.readiness import Readiness
from worker.celery.startup import settings_or_exit

__all__ = ["app"]

TASKS: Final = (
    *("verification", "confirmation", "reverification", "bulk"),
    *("sweep", "feeder", "plivo_list", "removal", "events", "accounts", "account_credentials"),
)

app.is_service = True
runtime.role = Role.WORKER
app.read_settings = settings_or_exit
app.log_cls = "worker.celery.logs:Logging"
app.conf.update(
    include=[f"tasks.{name}" for name in TASKS],
    worker_consumer="worker.celery.consumer:Consumer",
    beat_scheduler="worker.celery.beat:PatientScheduler",
    beat_schedule=SCHEDULE,
)
app.steps["consumer"] |= {"worker.celery.heartbeat:Heartbeat", "worker.sending.credentials:Watch"}
app.steps["worker"] |= {
    Readiness,
    "worker.celery.end_without_redis:EndWithoutRedis",
    "worker.celery.revocation:Revocation",
    "worker.sending.first_question:FirstQuestion",
}


def share_memory(**_: Any) -> None:
    """Have children and beat share what their worker has loaded: a garbage collector would write into all of it."""
    gc.freeze()


signals.celeryd_after_setup.connect(share_memory)  # for the beat of option -B
signals.worker_before_create_process.connect(share_memory)
