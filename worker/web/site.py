"""What all parts of the front door share in one process: settings, ledgers, threads and locks."""

import asyncio
import logging
from dataclasses import dataclass, field, replace
from typing import Final, Self

from ringproof import runtime
from ringproof.aio.event_loop import open_here
from ringproof.aio.ledger import AsyncLedger
from ringproof.aio.watch import Watch
from ringproof.errors import Misconfigured, UnknownAccount
from ringproof.ledger.credentials import credentials
from ringproof.ledger.ledger import Ledger
from ringproof.settings import Settings
from worker.web.locks import Locks
from worker.web.login_link import LoginLink
from worker.web.threads import Threads

THREADS: Final = 32
"""Calls of the ledger that run at once. Each takes a millisecond; with Redis away, up to its time limit."""


_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Site:
    """One process of the front door, as one account sees it: `await site.threads(site.ledger.read, number)`.

    `account` is the account of the caller, and `ledger` is its ledger: an operation has no other one, so that it
    cannot reach the numbers of another account. `home` is the default account's ledger, which has the credentials and
    the sessions of all accounts.

    `is_secure`: callers reach it by TLS, so that browsers keep its cookies for TLS alone. `link` lets one person in to
    the live page without a credential. `stopping` is set when the process stops: what lasts long, such as a stream of
    events, ends then.
    """

    settings: Settings
    home: Ledger
    ledger: Ledger
    threads: Threads
    locks: Locks
    is_secure: bool = False
    link: LoginLink | None = None
    account: str | None = None
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    def build(
        cls,
        settings: Settings,
        ledger: Ledger,
        *,
        is_open: bool,
        is_secure: bool = False,
        link: LoginLink | None = None,
    ) -> Self:
        """Build the parts on the default account's ledger. If `is_open`, there is no lock, and all act for the link's.

        Operations get the site of their caller's account: `of` returns it.
        """
        threads = Threads(THREADS, "ledger")
        account = link.account if link else None
        locks = Locks(lambda: threads(credentials, ledger), settings.door_rate, is_open=is_open, account=account)
        return cls(settings, ledger, ledger, threads, locks, is_secure, link)

    async def of(self, account: str | None) -> Self:
        """Return the site of an account; None: the default account. Raises `UnknownAccount`."""
        if account == self.account:
            return self
        try:
            ledger = await self.threads(runtime.ledger, account)
        except Misconfigured as error:
            _log.error("%s", error)
            raise UnknownAccount(account or "") from None
        return replace(self, account=account, ledger=ledger)

    async def records(self) -> tuple[Watch, AsyncLedger]:
        """Return the watch of the Redis that has the account's records, and the account's ledger in this event loop."""
        here = await open_here()
        return here.watch(self.account), here.ledger(self.account)
