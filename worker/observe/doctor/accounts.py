"""The accounts beside the default one: whether they can be read, their Redis, and whether Plivo knows them."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final

from ringproof import runtime
from ringproof.errors import Misconfigured, Rejected, RingproofError, Throttled, Unauthorized, Unknown
from worker.observe.accounts import AccountSummary, read_fleet
from worker.observe.doctor.case import Case
from worker.observe.doctor.check import Line, Result, broken, failed, of_finding, ok
from worker.observe.doctor.plivo import REFUSALS, ask
from worker.observe.finding import Code
from worker.observe.redis_findings import accounts_wrong

if TYPE_CHECKING:
    from ringproof.accounts import Account

ASKED_AT_ONCE: Final = 16
"""Accounts whose credentials are tried at once. Each waits for a slot of its own pace."""

MOST_OF_DOCTOR: Final = 32
"""Accounts that the doctor tries, as they are written: it ends within seconds."""

DOCTOR_SECONDS: Final = 12.0

MOST_SHOWN: Final = 10
"""Accounts with trouble that the doctor names."""

ACCOUNT_REFUSALS: Final[Mapping[type[RingproofError], Line]] = {
    **REFUSALS,
    Unauthorized: failed(
        "Plivo does not know its credentials (401)",
        "correct its auth_id and its token; processes read them again",
        Code.CREDENTIALS_REFUSED,
    ),
    Throttled: Line(
        Result.WARNING,
        "Plivo answered 429: more is asked of the account than it may",
        "if this comes back, lower its rate, or see what else uses the account",
        Code.CLOSED,
    ),
    Rejected: failed("{url} has no list of verified numbers: {said}", "correct its base_url"),
    Unknown: failed(
        "what answers at {url} is not Plivo, or is out of order: {said}",
        "check its base_url and the proxy, and status.plivo.com",
    ),
}
"""What is said of each answer of Plivo's that is no list, where an account of many got it."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What the check of one account has shown: a line about its Redis, and one about its credentials."""

    account: "Account"
    ledger: Line
    plivo: Line

    @property
    def lines(self) -> tuple[Line, Line]:
        """Both lines."""
        return self.ledger, self.plivo


def try_accounts(accounts: Mapping[str, "Account"], seconds: float) -> Iterator[Tried]:
    """Try the Redis and the credentials of these accounts, and yield each as soon as it is known.

    It ends after so many seconds: an account that was not tried by then says so.
    """
    ends = time.monotonic() + seconds
    summaries = {one.name: one for one in read_fleet(accounts).accounts}
    todo, done = SimpleQueue["Account"](), SimpleQueue[Tried]()
    for account in accounts.values():
        todo.put(account)
    is_over = threading.Event()

    def work() -> None:
        with suppress(Empty):
            while not is_over.is_set():
                account = todo.get_nowait()
                done.put(_try(account, summaries.get(account.name)))

    for _ in range(min(ASKED_AT_ONCE, len(accounts))):  # nobody waits for one that hangs
        threading.Thread(target=work, name="account", daemon=True).start()
    left = dict(accounts)
    try:
        while left:
            one = done.get(timeout=max(0.0, ends - time.monotonic()))
            del left[one.account.name]
            yield one
    except Empty:
        late = Line(Result.NOT_TRIED, f"it was not tried within {seconds:.0f} s")
        for name, account in left.items():
            yield Tried(account, _of_ledger(summaries.get(name)), late)
    finally:
        is_over.set()


def _try(account: "Account", summary: AccountSummary | None) -> Tried:
    of_ledger = _of_ledger(summary)
    try:
        of_plivo = _of_plivo(account, of_ledger)
    except Exception as error:  # noqa: BLE001  # a report of its own, for this account alone
        of_plivo = broken(error)
    return Tried(account, of_ledger, of_plivo)


def _of_ledger(summary: AccountSummary | None) -> Line:
    if summary is None:
        return Line(Result.NOT_TRIED, "the account was removed meanwhile")
    if summary.found:
        return of_finding(summary.found[0])
    return ok(f"{summary.redis} answers")


def _of_plivo(account: "Account", of_ledger: Line) -> Line:
    current = account.settings
    if current.plivo_auth_id is None or current.plivo_auth_token is None:
        return Line(Result.NOT_TRIED, "it has no auth_id and auth_token here; run this where a worker runs, too")
    if of_ledger.code in {Code.ACCOUNT_AWAY, Code.REDIS_FULL, Code.REDIS_READ_ONLY}:
        return Line(Result.NOT_TRIED, "Redis gives no slot of the pace: Plivo is not asked without one")
    return ask(current, runtime.ledger(account.name), ACCOUNT_REFUSALS)


def source(_case: Case) -> Iterator[Line]:
    """Check that the accounts can be read."""
    try:
        count = len(runtime.accounts())
    except Misconfigured as error:
        wrong = accounts_wrong(error)
        for problem in error.problems:
            yield replace(of_finding(wrong), sentence=problem)
        return
    yield ok(f"{count:,} {'account' if count == 1 else 'accounts'} beside the default one")


def needs_accounts(_case: Case) -> str:
    """Return what is missing to try accounts."""
    try:
        return "" if runtime.accounts() else "there is one account"
    except Misconfigured:
        return "the accounts cannot be read; correct that first"


def tried(_case: Case) -> Iterator[Line]:
    """Try the Redis and the credentials of accounts, as many as there is time for. Those in order are one line."""
    known = runtime.accounts()
    some = {name: known[name] for name in list(known)[:MOST_OF_DOCTOR]}
    results = list(try_accounts(some, DOCTOR_SECONDS - 2))
    bad = [line for one in results for line in _named(one) if line.result in {Result.FAILED, Result.WARNING}]
    yield from bad[:MOST_SHOWN]
    untried = sum(one.plivo.result is Result.NOT_TRIED for one in results) + len(known) - len(some)
    good = sum(all(line.result is Result.OK for line in one.lines) for one in results)
    rest = f"; {untried:,} were not tried: ringproof accounts check tries all" if untried else ""
    more = f"; {len(bad) - MOST_SHOWN:,} more have trouble" if len(bad) > MOST_SHOWN else ""
    yield ok(f"Plivo knows the credentials of {good:,} accounts, and their Redis answers{more}{rest}")


def _named(one: Tried) -> Sequence[Line]:
    whose = f"account {one.account.name}: "
    return [replace(line, sentence=f"{whose}{line.sentence.removeprefix(whose)}") for line in one.lines]
