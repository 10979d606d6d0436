"""Who calls, for what, and how often: each request passes here before it is read."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from ringproof.ledger.credentials import Credential, Scope, find
from ringproof.policy import Rate
from ringproof.secret_str import SecretStr

KNOWN_SECONDS: Final = 1.0
"""How long the process trusts the credentials that it has read: a revocation holds after so long."""

NEW_SECONDS: Final = 0.1
"""The same for a token that is none of them, which waits so long: a new credential is known at once, and a flood of
wrong ones costs little.
"""

NOBODY: Final = Credential("nobody", "", "", frozenset(Scope), datetime.fromtimestamp(0, UTC))
"""Who calls a server that has no lock."""


@dataclass(slots=True)
class _Bucket:
    """A bucket of tokens: a whole rate's number at once, and refilled at the rate."""

    rate: Rate
    tokens: float
    filled_at: float

    def take(self, now: float) -> float:
        """Take a token and return 0; without one, return the seconds until there is one."""
        per_second = float(self.rate.number / self.rate.window_seconds)
        self.tokens = min(float(self.rate.number), self.tokens + (now - self.filled_at) * per_second)
        self.filled_at = now
        if self.tokens < 1:
            return (1 - self.tokens) / per_second
        self.tokens -= 1
        return 0.0


class Locks:
    """Finds the credential of a request, and counts its requests in this process.

    `read` reads all credentials. If `is_open`, there is no lock: every caller is `NOBODY`, who may do everything in the
    ledger of `account`.
    """

    def __init__(
        self, read: Callable[[], Awaitable[list[Credential]]], rate: Rate, *, is_open: bool, account: str | None = None
    ) -> None:
        self._read, self.is_open = read, is_open
        self._nobody = replace(NOBODY, account=account)
        self._known: list[Credential] = []
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()
        self._buckets: dict[str, _Bucket] = defaultdict(lambda: _Bucket(rate, float(rate.number), time.monotonic()))

    async def holder(self, token: SecretStr, auth_id: str | None = None) -> Credential | None:
        """Return the credential of a token, and of an auth id if there is one; None if no credential is right.

        Raises `LedgerUnavailable` if the credentials cannot be read.
        """
        return self._nobody if self.is_open else await self.find(token, auth_id)

    async def find(self, token: SecretStr, auth_id: str | None = None) -> Credential | None:
        """Return the credential of a token as `holder` does, also if there is no lock."""
        if found := find(await self._credentials(KNOWN_SECONDS), token, auth_id):
            return found
        await asyncio.sleep(self._read_at + NEW_SECONDS - time.monotonic())
        return find(await self._credentials(NEW_SECONDS), token, auth_id)

    async def still_holds(self, credential: Credential) -> bool:
        """Whether a credential was not revoked meanwhile, for what lasts longer than a call.

        Raises `LedgerUnavailable` if the credentials cannot be read.
        """
        return self.is_open or credential in await self._credentials(KNOWN_SECONDS)

    async def of_digest(self, auth_id: str, digest: str) -> Credential | None:
        """Return the credential of an auth id whose token has this digest; None if it was revoked.

        Raises `LedgerUnavailable` if the credentials cannot be read.
        """
        known = await self._credentials(KNOWN_SECONDS)
        return next((one for one in known if (one.auth_id, one.digest) == (auth_id, digest)), None)

    def seconds_until_free(self, credential: Credential) -> float:
        """Count a request of a credential, and return 0; over its rate, return the seconds until it is free again."""
        return self._buckets[credential.auth_id].take(time.monotonic())

    async def _credentials(self, not_older_than: float) -> list[Credential]:
        async with self._reading:
            if time.monotonic() - self._read_at > not_older_than:
                started = time.monotonic()
                self._known = await self._read()
                self._read_at = started
            return self._known
