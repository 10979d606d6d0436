"""Ringproof's work, as a producer calls it: `initiate_verification.delay("+14155550123")`, `import_roster(…)`.

What reads rosters is loaded when it is first asked for: whoever enqueues single numbers has no use for it.
"""

from typing import TYPE_CHECKING, Any

from tasks.confirmation import confirm_verification
from tasks.verification import initiate_verification

if TYPE_CHECKING:
    from worker.batches import import_roster

__all__ = ["confirm_verification", "import_roster", "initiate_verification"]


def __getattr__(name: str) -> Any:
    if name == "import_roster":
        from worker.batches import import_roster  # noqa: PLC0415

        return import_roster
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
