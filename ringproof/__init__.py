"""Ringproof for programs: `from ringproof import initiate_verification, confirm_verification, is_verified`.

    verification = initiate_verification.delay("+14155550123", alias="Front desk")
    verification.get(timeout=30)["state"]  # "code_sent"
    confirm_verification.delay("+14155550123", "482913", request=verification.id).get(timeout=30)["state"]  # "verified"
    is_verified("+14155550123")  # True

`check_number` says before all that whether a code would be sent to a number. `import_roster` sends codes to a file of
numbers, and `verified_numbers` yields all verified ones. `Verification` is the type of a request's result;
`VerificationRecord` and `Confirmation` are what `.get()` returns.

A name is loaded when a program first uses it, so `import ringproof.phone` loads neither Celery nor Redis.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ringproof.batches.importing import import_roster
    from ringproof.celery.backend import Verification
    from ringproof.celery.confirmation import confirm_verification
    from ringproof.celery.verification import initiate_verification
    from ringproof.number_check import check_number
    from ringproof.results import Confirmation, VerificationRecord
    from ringproof.verified import ais_verified, is_verified, verified_numbers

__all__ = [
    "Confirmation",
    "Verification",
    "VerificationRecord",
    "ais_verified",
    "check_number",
    "confirm_verification",
    "import_roster",
    "initiate_verification",
    "is_verified",
    "verified_numbers",
]

_MODULES: Final = {
    "Confirmation": "ringproof.results",
    "Verification": "ringproof.celery.backend",
    "VerificationRecord": "ringproof.results",
    "ais_verified": "ringproof.verified",
    "check_number": "ringproof.number_check",
    "confirm_verification": "ringproof.celery.confirmation",
    "import_roster": "ringproof.batches.importing",
    "initiate_verification": "ringproof.celery.verification",
    "is_verified": "ringproof.verified",
    "verified_numbers": "ringproof.verified",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
