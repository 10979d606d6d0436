"""What a process is to Redis."""

from enum import StrEnum


class Role(StrEnum):
    """A kind of process: a web app, a worker or beat, and the command `ringproof`."""

    PRODUCER = "producer"
    WORKER = "worker"
    OPERATOR = "operator"
