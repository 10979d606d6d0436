"""Ringproof's work, as a producer calls it: `initiate_verification.delay("+14155550123")`."""

from tasks.confirmation import confirm_verification
from tasks.verification import initiate_verification

__all__ = ["confirm_verification", "initiate_verification"]
