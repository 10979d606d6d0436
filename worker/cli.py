"""The `ringproof` command."""

import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from tasks import initiate_verification
from worker import cli_batch, cli_import, cli_number, cli_pace, cli_verified, errors, reverification, runtime
from worker.command import REVERIFY_AFTER, load_dotenv, numbers_of, says_what_is_wrong
from worker.outlook import as_json as situation_as_json
from worker.outlook import look, outlook
from worker.phone import CHANNELS, mask, parse
from worker.story import next_step, story
from worker.verdict import Settled
from worker.watch import START_A_WORKER, Exit, Report, Watch, as_json_line, as_unknown, console, workers_that_answer


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ringproof", prog_name="ringproof")
def main() -> None:
    """Verify phone numbers with Plivo: one code a number, none lost, none sent twice.

    Try it: ringproof demo. It needs no Plivo account, and no Redis.

    RINGPROOF_REDIS_URL and the other variables are read from the environment, and from .env in this folder where
    the environment has none.

    Exit: 0 done, 1 refused or failed, 2 wrong usage, 3 accepted but not finished, or in doubt.
    """
    # None: closed by whoever started this.
    sys.stdin = sys.stdin or Path(os.devnull).open()  # noqa: SIM115 - for as long as the process lives
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115 - the same
    if sys.stdout is None:
        raise click.UsageError("Standard output is closed. Send it somewhere, such as to /dev/null.")


@main.command()
@click.argument("numbers", nargs=-1, metavar="NUMBER...")
@click.option("--alias", help="What Plivo shows for the number, 1 to 255 characters.")
@click.option(
    "--channel", type=click.Choice(CHANNELS), default="sms", show_default=True, help="auto: a landline gets a call."
)
@click.option("--subaccount", help="Auth id of the Plivo subaccount it is for (SA…).")
@click.option("--region", help="Country of numbers without one, such as US  [default: RINGPROOF_REGION]")
@REVERIFY_AFTER
@click.option("--resend", is_flag=True, help="Send a new code although one lives, once the cooldown is over.")
@click.option("--no-wait", is_flag=True, help="End once it is accepted, which then is done (exit 0).")
@click.option("--json", "as_json", is_flag=True, help="Print each record as a line of JSON, unmasked.")
@says_what_is_wrong
def initiate(numbers: tuple[str, ...], region: str | None, *, no_wait: bool, as_json: bool, **request: Any) -> None:
    """Send a code to each NUMBER, and tell what becomes of it.

    Without NUMBER, or for -, numbers are read from standard input, one a line.

    It waits for each outcome. Without progress for 5 s it says why; it ends with exit 3 after 60 s without any, and
    does not wait for a number that is not due by then. What is accepted goes on without it: ringproof status NUMBER.
    """
    load_dotenv()
    home = region or runtime.settings().region
    watch = Watch(runtime.ledger(), Report(as_json, no_wait))
    try:
        for number in numbers_of(numbers):
            try:
                known = parse(number, home).e164
                if known not in watch.accepted:
                    watch.accept(known, initiate_verification.delay(number, region=home, **request).id)
            except (errors.InvalidNumber, errors.CoolingDown, errors.Capped) as error:
                watch.report.refused(number, error)
            watch.look()
        watch.until_done()
    except KeyboardInterrupt:
        watch.abandon("interrupted")
    except errors.LedgerUnavailable:
        watch.abandon("stopped")
        raise
    if not watch.report.exits:
        raise click.UsageError("Standard input holds no number. Write them one a line.")
    watch.report.sum_up()
    sys.exit(watch.report.exit)


@main.command()
@click.argument("number", required=False)
@click.option("--region", help="Country of a number without one, such as US  [default: RINGPROOF_REGION]")
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON; a number's record is unmasked.")
@says_what_is_wrong
def status(number: str | None, region: str | None, *, as_json: bool) -> None:
    """Tell where a NUMBER stands, or sending as a whole.

    Of a number: its state, what comes next, and its history. Without one: what pauses the sending, the pace and what
    holds it back, and the queues.
    """
    load_dotenv()
    if number is None:
        found = look(runtime.ledger())
        if as_json:
            click.echo(situation_as_json(found))
        else:
            console().print(outlook(found))
        return
    known = parse(number, region or runtime.settings().region).e164
    record = runtime.ledger().read(known)
    if as_json:
        click.echo(as_json_line(record) if record else as_unknown(known))
    elif record:
        console().print(story(record, reverification.when(runtime.ledger(), known)))
    else:
        console().print(f"{mask(known)} is unknown here; to send it a code: ringproof initiate NUMBER")
    sys.exit(Exit.of(record))


@main.command()
@click.argument("number")
@click.option("--region", help="Country of a number without one, such as US  [default: RINGPROOF_REGION]")
@says_what_is_wrong
def cancel(number: str, region: str | None) -> None:
    """Take a NUMBER's request back, if it has not begun.

    Exit 1 if it has: what is being sent cannot be taken back.
    """
    load_dotenv()
    known = parse(number, region or runtime.settings().region).e164
    record = runtime.ledger().read(known)
    if record is None:
        console().print(f"{mask(known)} is unknown here; there is nothing to cancel")
        sys.exit(Exit.REFUSED)
    told = runtime.ledger().cancel(known, record.request)
    if told is Settled.STALE:
        record = runtime.ledger().read(known) or record
        console().print(f"not cancelled: {mask(known)} is {record.state}; {next_step(record)}")
        sys.exit(Exit.REFUSED)
    console().print(f"{mask(known)} is cancelled{'' if told is Settled.SETTLED else ' already'}; nothing is sent")


for command in (
    cli_number.confirm,
    cli_number.remove,
    cli_number.erase,
    cli_verified.sync,
    cli_verified.reverify,
    cli_import.import_,
    cli_batch.batch,
    cli_pace.pause,
    cli_pace.resume,
    cli_pace.limits,
):
    main.add_command(command)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON.")
@says_what_is_wrong
def health(*, as_json: bool) -> None:
    """Ask whether Redis and a worker answer: exit 0, or else 1."""
    load_dotenv()
    runtime.ledger().ping()
    workers = workers_that_answer()
    if as_json:
        click.echo(json.dumps({"redis": True, "workers": workers}))
    else:
        answering = f"workers: {', '.join(workers)}" if workers else f"no worker does. Start one: {START_A_WORKER}"
        console().print(f"Redis answers; {answering}")
    sys.exit(Exit.DONE if workers else Exit.REFUSED)


@main.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8077, show_default=True, help="0: a free one.")
@click.option("--answers", metavar="WEIGHTS", help="What people do with their codes: right=80,wrong=10,never=10")
@click.option("--answer-after", metavar="SECONDS", help="After how long, such as 3 or 1-5  [default: 1-5]")
@says_what_is_wrong
def sandbox(port: int, answers: str | None, answer_after: str | None) -> None:
    """Be Plivo on this machine, for tests: no text leaves it.

    With --answers the people whose phones get a code enter it rightly, wrongly or never: GET /sandbox/answers offers
    what they enter.
    """
    people = _local("worker.local.people").People.read(answers, answer_after)
    _local("worker.local.sandbox").serve(port=port, people=people)


@main.command()
@click.option("--stay", is_flag=True, help="Keep it running afterwards, for a second terminal or your app.")
@says_what_is_wrong
def demo(*, stay: bool) -> None:
    """Watch 200 rows being sent to, and a worker being killed.

    It brings a Redis, a Plivo and a worker of its own, all on this machine, reads nothing of your settings and leaves
    nothing behind.
    """
    sys.exit(_local("worker.local.demo").run(stay=stay))


def _local(module: str) -> Any:
    """Load what only the extra `local` brings."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise errors.Misconfigured(f"{error.name} is not installed; pip install 'ringproof[local]'") from None
