"""Where each account stands, in short: a few commands for each, and one connection for each Redis."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from ringproof import runtime
from ringproof.clock import moment
from ringproof.errors import LedgerUnavailable, Misconfigured, UnknownAccount
from ringproof.ledger.control import Pause, SendingStatus, closed_until, pauses_of
from ringproof.ledger.gate import read_gate
from ringproof.ledger.keys import Keys
from ringproof.ledger.row_outcomes import LISTS
from worker.observe.at_once import at_once
from worker.observe.facts import Facts
from worker.observe.finding import Finding, Severity
from worker.observe.hints import for_account
from worker.observe.redis_findings import account_away, accounts_wrong, refuses, went_back
from worker.observe.sending_findings import closed, pauses

if TYPE_CHECKING:
    from ringproof.accounts import Account
    from ringproof.ledger.ledger import Ledger

AT_ONCE: Final = 100
"""Accounts that one round trip reads: some hundred commands, which take Redis less than a millisecond."""

MOST_NAMED: Final = 20
"""Accounts with trouble that a status names. It counts the others."""


@dataclass(frozen=True, slots=True)
class AccountSummary:
    """Where one account stands. `found` says what is wrong with it alone; without its Redis nothing else is known."""

    name: str
    redis: str  # its address, without a password
    rate: str  # as it is configured
    found: tuple[Finding, ...] = ()
    is_away: bool = False  # its Redis
    open_numbers: int = 0
    waiting: int = 0  # people whose code was not sent yet
    in_doubt: int = 0
    pauses: tuple[Pause, ...] = ()

    @property
    def is_at_work(self) -> bool:
        """Whether any of its numbers is not final."""
        return self.open_numbers > 0


@dataclass(frozen=True, slots=True)
class Fleet:
    """All accounts beside the default one: where each stands, or why they are not known."""

    accounts: tuple[AccountSummary, ...] = ()
    wrong: Finding | None = None

    @property
    def found(self) -> list[Finding]:
        """What is wrong with accounts, worst first. It holds back their numbers alone."""
        own = [one for account in self.accounts for one in account.found]
        return sorted([*([self.wrong] if self.wrong else []), *own], key=lambda one: list(Severity).index(one.severity))

    @property
    def named(self) -> list[Finding]:
        """The same, as many as a person reads; the last one counts the others."""
        found = self.found
        rest = found[MOST_NAMED:]
        if not rest:
            return found
        text = f"{len({one.account for one in rest}):,} more accounts have trouble"
        return [*found[:MOST_NAMED], Finding(rest[0].code, rest[0].severity, text, "to see all: ringproof accounts ls")]


NO_ACCOUNTS: Final = Fleet()


def read_fleet(only: Iterable[str] | None = None) -> Fleet:
    """Read where all accounts stand, or those that are named. Nothing is raised: what is wrong is a finding.

    Without RINGPROOF_ACCOUNTS it asks nobody.
    """
    try:
        known = runtime.accounts()
    except Misconfigured as error:
        return Fleet(wrong=accounts_wrong(error))
    chosen = known if only is None else {name: known[name] for name in only if name in known}
    if not chosen:
        return NO_ACCOUNTS
    by_server: defaultdict[str, list[str]] = defaultdict(list)
    for name, account in chosen.items():
        by_server[account.settings.redis_url.get_secret_value()].append(name)
    summaries: dict[str, AccountSummary] = {}
    for part in at_once(list(by_server.values()), lambda names: list(_of_server(chosen, names))):
        summaries |= {one.name: one for one in part}
    return Fleet(tuple(summaries[name] for name in chosen))


def _of_server(known: Mapping[str, "Account"], names: Sequence[str]) -> Iterator[AccountSummary]:
    """Yield where the accounts of one Redis stand. Once it does not answer, it is not asked again."""
    away: LedgerUnavailable | None = None
    for start in range(0, len(names), AT_ONCE):
        some = names[start : start + AT_ONCE]
        if away is None:
            try:
                yield from _some(known, some)
                continue
            except LedgerUnavailable as error:
                away = error
        for name in some:
            yield _away(known[name], away)


def _some(known: Mapping[str, "Account"], names: Sequence[str]) -> Iterator[AccountSummary]:
    commands = [_commands(Keys.of_account(known[name].settings.prefix, name)) for name in names]
    answers = _ledger(names).try_all(("time",), *(command for one in commands for command in one))
    if isinstance(answers[0], LedgerUnavailable):
        raise answers[0]
    now = moment(int(answers[0][0]) * 1000)
    each = len(commands[0])
    for at, name in enumerate(names):
        yield _summary(known[name], now, answers[1 + at * each : 1 + (at + 1) * each])


def _ledger(names: Sequence[str]) -> "Ledger":
    """Return the ledger of one of these accounts: a moment ago all of them were known."""
    for name in names[:-1]:
        with suppress(UnknownAccount):
            return runtime.ledger(name)
    return runtime.ledger(names[-1])


def _commands(keys: Keys) -> list[tuple[Any, ...]]:
    return [
        ("setrange", keys.trial, 0, ""),  # Redis refuses it if it refuses to write; otherwise it writes nothing
        ("hgetall", keys.pauses),
        ("hget", keys.pace, "closed"),
        ("hgetall", keys.generation),
        *(("zcard", key) for key in (keys.agenda, keys.in_doubt, *map(keys.backlog, LISTS))),
    ]


def _summary(account: "Account", now: datetime, answers: Sequence[Any]) -> AccountSummary:
    trial, paused, closed_at, generation, *counts = answers
    fields = paused if isinstance(paused, Mapping) else {}
    facts = Facts(
        SendingStatus(
            now,
            pauses=tuple(pauses_of(fields)),
            closed_until=closed_until(closed_at if isinstance(closed_at, str) else None, now),
        ),
        redis=account.settings.shown_redis_url,
        refusal=trial.cause if isinstance(trial, LedgerUnavailable) else "",
        gate=read_gate(generation if isinstance(generation, Mapping) else {}),
    )
    found = [one for check in (refuses, pauses, closed) for one in check(facts) if one.severity is not Severity.WARNING]
    found += went_back(facts)  # its warning names batches that are lost
    open_numbers, in_doubt, *people = (count if isinstance(count, int) else 0 for count in counts)
    return AccountSummary(
        account.name,
        facts.redis,
        str(account.policy.rate),
        tuple(of_account(one, account.name) for one in found),
        open_numbers=open_numbers,
        waiting=sum(people),
        in_doubt=in_doubt,
        pauses=facts.sending.pauses,
    )


def _away(account: "Account", error: LedgerUnavailable) -> AccountSummary:
    away = account_away(account.name, error.url, error.cause, name=account.name)
    return AccountSummary(
        account.name, account.settings.shown_redis_url, str(account.policy.rate), (away,), is_away=True
    )


def of_account(finding: Finding, name: str) -> Finding:
    """Return a finding as one of an account: it holds back that account alone."""
    severity = Severity.HELD_BACK if finding.severity is Severity.STOPPED else finding.severity
    return replace(
        finding,
        severity=severity,
        sentence=f"account {name}: {finding.sentence}",
        remedy=for_account(finding.remedy, name),
        account=name,
    )
