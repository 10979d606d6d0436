"""`ringproof health`: whether Redis takes writes, and workers take messages.

A healthcheck runs it every few seconds, so that it loads neither redis-py nor rich.
"""

import sys
from collections.abc import Sequence

import click

from ringproof import runtime
from ringproof.errors import LedgerUnavailable
from ringproof.printable import printable
from worker.cli.account import account_name
from worker.cli.options import JSON, load_dotenv, reports_errors
from worker.observe.finding import Finding
from worker.observe.health import account_findings, health_findings, own_findings, read_health
from worker.observe.redis_findings import redis_away
from worker.views.exit_code import Exit
from worker.views.text import json_line


@click.command()
@click.option("--self", "is_own", is_flag=True, help="Judge the workers and the beat of this host or container alone.")
@click.option(
    "--live",
    "is_live",
    is_flag=True,
    help="The same, for a liveness probe: a Redis that is away is no reason to restart.",
)
@JSON
@reports_errors
def health(*, is_own: bool, is_live: bool, prints_json: bool) -> None:
    """Check that Redis takes writes and work is taken: exit 0, else 1.

    Each worker says in Redis every 5 s that it takes messages. One that was silent for 20 s does not count. It is also
    wrong if no beat runs, or if messages wait and nobody takes them. ringproof status says more.

    A container's healthcheck asks with --self: its own worker must take what waits in its queues, and its own beat must
    send the ticks. What is wrong elsewhere does not matter then.

    A supervisor that restarts what fails asks with --live. While Redis is away or refuses to write, a worker waits with
    what Plivo has answered. A restart would lose that, so --live exits with 0 then.

    Each Redis in which accounts have their ledgers must take writes, too; with ringproof --account NAME health, that
    account's alone. --self and --live leave them out.
    """
    load_dotenv()
    current = runtime.settings(only=("redis_url", "prefix"))
    try:
        facts = read_health(current.redis_url.get_secret_value(), current.prefix)
    except LedgerUnavailable as error:
        if prints_json:
            click.echo(_json(has_redis=False, workers=[], found=[redis_away(error)]))
        elif is_live:
            click.echo(printable(f"{redis_away(error).sentence}; a restart of this container would not help"))
        else:
            raise
        sys.exit(Exit.DONE if is_live else Exit.REFUSED)
    is_of_one = is_own or is_live
    of_accounts = [] if is_of_one else account_findings(current.prefix, account_name())
    found = own_findings(facts) if is_of_one else [*health_findings(facts), *of_accounts]
    workers = [one.worker for one in facts.workers]
    if prints_json:
        click.echo(_json(has_redis=True, workers=workers, found=found))
    else:
        names = f"Redis answers; workers: {', '.join(workers)}" if workers else "Redis answers"
        click.echo(printable(names))
        for one in found:
            click.echo(printable(f"{one.sentence}; {one.remedy} ({one.link})"))
    is_alive = not found or (is_live and bool(facts.refusal))
    sys.exit(Exit.DONE if is_alive else Exit.REFUSED)


def _json(*, has_redis: bool, workers: Sequence[str], found: Sequence[Finding]) -> str:
    findings = [one.fields() for one in found]
    return json_line({"redis": has_redis, "workers": list(workers), "findings": findings})
