"""Ringproof for programs: `from ringproof import initiate_verification, confirm_verification, import_roster`.

    verification = initiate_verification.delay("+14155550123", alias="Front desk")
    verification.get(timeout=30)["state"]  # "code_sent"
    confirm_verification.delay("+14155550123", "482913").get(timeout=30)["state"]  # "verified"

A name is loaded when a program first uses it, so `import ringproof.phone` loads neither Celery nor Redis.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ringproof.batches.importing import import_roster
    from ringproof.celery.confirmation import confirm_verification
    from ringproof.celery.verification import initiate_verification

__all__ = ["confirm_verification", "import_roster", "initiate_verification"]

_MODULES: Final = {
    "confirm_verification": "ringproof.celery.confirmation",
    "import_roster": "ringproof.batches.importing",
    "initiate_verification": "ringproof.celery.verification",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
