"""Which accounts need a visit of the sweep and the feeder, and when: an idle account costs no command.

`{P}:accounts` in the installation's own ledger is a sorted set of accounts by the moment of their next visit. Who makes
work for an account notes it there. A visit ends with the moment of the next one.

A process notes an account once a second at most. What comes within that second may come after the visit to which the
note has led. So each noted account is visited once more after `SECOND_LOOK`, whatever the first visit saw.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from ringproof.clock import epoch_ms
from ringproof.ledger.durations import ms, optional_ms
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.replication import Performed
from ringproof.ledger.script_call import ScriptCall

LEASE: Final = timedelta(seconds=20)
"""How long a visit may last. If its worker dies, another one visits the account after that."""

SECOND_LOOK: Final = timedelta(seconds=3)

NOTE_SECONDS: Final = 1.0
"""How often one process notes an account at most."""

NAMES_AT_ONCE: Final = 1000

MAKES_WORK: Final = frozenset(
    (
        *("number/accept", "number/begin", "number/settle", "number/mark_verified"),
        *("batch/finish_import", "batch/change_state", "batch/retry_rows", "reverification/request"),
        *("pace/pause", "pace/set_limits", "outbox/replay"),
    )
)
"""The scripts that may have something happen sooner than the last visit has seen."""


class AccountLedger(Ledger):
    """The ledger of an account. It tells when a script has made work for the sweep or the feeder."""

    def __init__(self, *args: Any, on_work: Callable[[], None], **options: Any) -> None:
        super().__init__(*args, **options)
        self.on_work = on_work

    def _perform(self, name: str, keys: Sequence[str], args: Sequence[Any], *, is_promised: bool = False) -> Performed:
        """Run a script as `Ledger` does, and note the work that it may have made."""
        performed = super()._perform(name, keys, args, is_promised=is_promised)
        if name in MAKES_WORK:
            self.on_work()
        return performed


def note_work(ledger: Ledger) -> None:
    """Note work that no script has made, if this is the ledger of an account."""
    if isinstance(ledger, AccountLedger):
        ledger.on_work()


@dataclass(frozen=True, slots=True)
class Claim:
    """An account that this process visits now. `is_calm`: nobody has noted it since its last visit."""

    account: str
    score: str
    is_calm: bool


def note(ledger: Ledger, account: str) -> None:
    """Note that an account needs a visit now. Raises `LedgerUnavailable`."""
    ledger.do(noting(ledger, account))


def noting(ledger: Ledger, account: str) -> ScriptCall[None]:
    """Return the call that notes that an account needs a visit now."""
    return ScriptCall("attention/note", [ledger.keys.accounts], [account], lambda _: None)


def claim(ledger: Ledger, most: int) -> list[Claim]:
    """Claim at most so many accounts whose time has come. Raises `LedgerUnavailable`."""
    claimed = ledger.run_script("attention/claim", [ledger.keys.accounts], [most, ms(LEASE)])
    return [Claim(account, score, bool(calm)) for account, score, calm in claimed]


def release(ledger: Ledger, claimed: Claim, after: timedelta | None) -> None:
    """End a visit. The next one is `after` that time; None: when somebody notes the account.

    An account that was noted meanwhile stays due, and one that was noted before gets its second look. Raises
    `LedgerUnavailable`.
    """
    if not claimed.is_calm:
        after = SECOND_LOOK if after is None else min(after, SECOND_LOOK)
    until = optional_ms(None if after is None else after.total_seconds())
    ledger.run_script("attention/release", [ledger.keys.accounts], [claimed.account, claimed.score, until])


def is_anybody_due(ledger: Ledger) -> bool:
    """Whether an account needs a visit now. Raises `LedgerUnavailable`."""
    (seconds, _), first = ledger.run_all(("time",), ("zrange", ledger.keys.accounts, 0, 0, False, True))
    return bool(first) and first[0][1] <= (seconds + 1) * 1000


def note_all(ledger: Ledger, accounts: Sequence[str]) -> None:
    """Have all these accounts visited: a worker that starts does not know what Redis has forgotten meanwhile."""
    for start in range(0, len(accounts), NAMES_AT_ONCE):
        names = accounts[start : start + NAMES_AT_ONCE]
        ledger.run("zadd", ledger.keys.accounts, dict.fromkeys(names, epoch_ms(ledger.now())), lt=True)
