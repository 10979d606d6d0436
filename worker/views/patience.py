"""How long a command waits while nothing changes, and what it says meanwhile."""

import time
from collections.abc import Callable, Hashable

from worker.observe.worker_findings import START

NO_PROGRESS_SECONDS = 5.0
"""After so long without a change the command says why: a person begins to wonder."""

PATIENCE_SECONDS = 60.0
"""After so long without a change the command ends, and its work goes on without it: a script must not hang."""

START_A_WORKER = START["worker"]


class Patience:
    """Measures how long nothing has changed, and gives each explanation once, to `say`."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._explained: set[Hashable] = set()
        self._changed_at = time.monotonic()

    def note_change(self) -> None:
        """Begin to wait from now on."""
        self._changed_at = time.monotonic()

    @property
    def needs_explanation(self) -> bool:
        """Whether nothing has changed for so long that a person wonders why."""
        return time.monotonic() - self._changed_at > NO_PROGRESS_SECONDS

    @property
    def is_over(self) -> bool:
        """Whether nothing has changed for so long that the command ends."""
        return time.monotonic() - self._changed_at >= PATIENCE_SECONDS

    def has_explained(self, cause: Hashable) -> bool:
        """Return whether the command has explained this cause before."""
        return cause in self._explained

    def explain(self, cause: Hashable, text: str) -> None:
        """Say why nothing changes, once for each cause."""
        if cause not in self._explained:
            self._explained.add(cause)
            self._say(text)
