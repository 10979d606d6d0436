"""Asks the running workers for a sign of life."""

import redis
from kombu.exceptions import OperationalError

from ringproof import errors, runtime
from ringproof.celery.app import app


def workers_that_answer() -> list[str]:
    """Return the names of the workers that answer within a second, or within two more if none does.

    Raises `LedgerUnavailable`.
    """
    try:
        answers = app.control.ping(timeout=1.0) or app.control.ping(timeout=2.0)
        return sorted(name for answer in answers for name in answer)
    except (OperationalError, redis.RedisError) as error:
        raise errors.LedgerUnavailable(runtime.settings().shown_redis_url, type(error).__name__) from None
