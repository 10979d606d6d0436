"""Ringproof's work, as a producer calls it: `initiate_verification.delay("+14155550123")`."""

from tasks.verification import initiate_verification

__all__ = ["initiate_verification"]
