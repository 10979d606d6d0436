"""The Celery application as a worker process runs it: `celery -A worker worker`, `from worker.celery import app`.

It is the application of `ringproof.celery.app`, with the task bodies, the readiness check, beat and the logging added.
"""

from typing import Final

from ringproof.celery.app import app
from worker.celery.beat import SCHEDULE
from worker.celery.readiness import Readiness

__all__ = ["app"]

TASKS: Final = (
    *("verification", "confirmation", "reverification", "bulk"),
    *("sweep", "feeder", "reconcile", "removal"),
)

app.log_cls = "worker.celery.logs:Logging"
app.conf.update(
    include=[f"tasks.{name}" for name in TASKS],
    beat_scheduler="worker.celery.beat:Beat",
    beat_schedule=SCHEDULE,
)
app.steps["worker"].add(Readiness)
