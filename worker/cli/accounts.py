"""`ringproof accounts`: which accounts this installation serves beside the default one, and whether each works."""

import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

import click
from rich.table import Table
from rich.text import Text

from ringproof import runtime
from ringproof.errors import UnknownAccount
from worker.cli.options import JSON, load_dotenv, reports_errors
from worker.observe.accounts import AccountSummary, read_fleet
from worker.observe.doctor.accounts import Tried, try_accounts
from worker.observe.doctor.check import Line, Result
from worker.views.console import console
from worker.views.doctor import STYLES
from worker.views.exit_code import Exit
from worker.views.text import counted, json_line

if TYPE_CHECKING:
    from ringproof.accounts import Account

SECONDS: Final = 120.0
"""How long a check takes at most. A thousand accounts take half a minute."""

NO_ACCOUNTS: Final = "there is one account, the default one; RINGPROOF_ACCOUNTS names others: docs/guide/accounts.md"


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@JSON
@reports_errors
def ls(names: Sequence[str], *, prints_json: bool) -> None:
    """List the accounts, all or those that are named.

    Each has a line: its name, its auth id without the middle, where its ledger is, its rate, its numbers that are not
    final, the people who wait, its doubts, and what is wrong. The exit code is 1 if something is wrong with one.
    """
    load_dotenv()
    known = _chosen(names)
    summaries = read_fleet(known).accounts
    if prints_json:
        for one in summaries:
            click.echo(json_line(_fields(known[one.name], one)))
    else:
        table = Table.grid(padding=(0, 2))
        for one in summaries:
            table.add_row(*map(Text, _row(known[one.name], one)))
        console().print(table if summaries else NO_ACCOUNTS)
    sys.exit(Exit.REFUSED if any(one.found for one in summaries) else Exit.DONE)


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@JSON
@reports_errors
def check(names: Sequence[str], *, prints_json: bool) -> None:
    """Try the Redis and the credentials of all accounts, or of those that are named.

    What RINGPROOF_ACCOUNTS names is read first, and all faults in it are shown. Plivo is then asked for one entry of
    each account's list, at a slot of the account's pace, and sixteen accounts at once. It ends within two minutes.

    The exit code is 0 if all accounts work, 1 if one does not, and 3 if some were not tried.
    """
    load_dotenv()
    known = _chosen(names)
    results = []
    for one in try_accounts(known, SECONDS):
        results.append(one)
        if prints_json:
            click.echo(json_line(_tried_fields(one)))
        else:
            _print(one)
    if not prints_json:
        console(stderr=True).print(_sum(results) if known else NO_ACCOUNTS)
    found = {line.result for one in results for line in one.lines}
    sys.exit(Exit.REFUSED if Result.FAILED in found else Exit.UNFINISHED if Result.NOT_TRIED in found else Exit.DONE)


def _chosen(names: Sequence[str]) -> Mapping[str, "Account"]:
    """Return all accounts, or those that are named. Raises `UnknownAccount`, and `Misconfigured` with all faults."""
    known = runtime.accounts()
    for name in names:
        if name not in known:
            raise UnknownAccount(name, next(iter(get_close_matches(name, known, n=1)), ""))
    return {name: known[name] for name in names} if names else known


def masked(auth_id: str | None) -> str:
    """Return an auth id without its middle; a dash for none.

    >>> masked("MAXXXXXXXXXXXXXXXX42"), masked(None)
    ('MA••••42', '-')
    """
    return f"{auth_id[:2]}••••{auth_id[-2:]}" if auth_id else "-"


def _row(account: "Account", one: AccountSummary) -> tuple[str, ...]:
    doubts = f", {one.in_doubt:,} in doubt" if one.in_doubt else ""
    numbers = "-" if one.is_away else f"{one.open_numbers:,} open, {one.waiting:,} wait{doubts}"
    wrong = "; ".join(found.sentence.removeprefix(f"account {one.name}: ") for found in one.found)
    return one.name, masked(account.settings.plivo_auth_id), one.redis, one.rate, numbers, wrong


def _fields(account: "Account", one: AccountSummary) -> dict[str, object]:
    return {
        "name": one.name,
        "auth_id": masked(account.settings.plivo_auth_id),
        "ledger": one.redis,
        "rate": one.rate,
        "paused": any(pause.lane is None for pause in one.pauses),
        "open_numbers": None if one.is_away else one.open_numbers,
        "waiting": None if one.is_away else one.waiting,
        "in_doubt": None if one.is_away else one.in_doubt,
        "findings": [found.fields() for found in one.found],
    }


def _print(one: Tried) -> None:
    worst = _worst(one)
    said = Text(f"{str(worst.result).replace('_', ' '):<9} ", STYLES[worst.result])
    said.append(f"{one.account.name}  {masked(one.account.settings.plivo_auth_id)}  {_without_name(one, worst)}", "")
    if worst.remedy:
        said.append(f"\n  do: {worst.remedy}", "")
    console().print(said)


def _without_name(one: Tried, line: Line) -> str:
    return line.sentence.removeprefix(f"account {one.account.name}: ")


def _worst(one: Tried) -> Line:
    order = [Result.FAILED, Result.NOT_TRIED, Result.WARNING, Result.OK]
    return min(reversed(one.lines), key=lambda line: order.index(line.result))


def _sum(results: Sequence[Tried]) -> str:
    good = sum(_worst(one).result in {Result.OK, Result.WARNING} for one in results)
    untried = sum(_worst(one).result is Result.NOT_TRIED for one in results)
    also = f", {untried:,} not tried" if untried else ""
    return f"{good:,} of {counted(len(results), 'account')} {'works' if good == 1 else 'work'}{also}"


def _tried_fields(one: Tried) -> dict[str, object]:
    return {
        "name": one.account.name,
        "auth_id": masked(one.account.settings.plivo_auth_id),
        "result": _worst(one).result,
        "checks": [
            {"check": check, "result": line.result, "code": line.code, "sentence": line.sentence, "remedy": line.remedy}
            for check, line in zip(("ledger", "plivo"), one.lines, strict=True)
        ],
    }
