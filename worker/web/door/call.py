"""One call of an operation: the request, the caller, and until when the answer must be there."""

import time
from dataclasses import dataclass, field

from ringproof.ledger.credentials import Credential
from worker.plivo_http.request import PlivoRequest


@dataclass(frozen=True, slots=True)
class Call:
    """A request of a caller who may make it. `deadline` is a moment of `time.monotonic()`."""

    request: PlivoRequest = field(repr=False)
    caller: Credential
    deadline: float

    @property
    def seconds_left(self) -> float:
        """How long the call may still take."""
        return max(0.0, self.deadline - time.monotonic())
