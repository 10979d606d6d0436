"""`ringproof import`: the batch that it makes, the forecast and the question before, and an import that ends early."""

import gzip
import io
import os
import re
import signal
import stat
import time
from contextlib import contextmanager, suppress
from functools import partial

import psutil
import pytest
from click.testing import CliRunner
from support.harness import Terminal, eventually, ledger_of, started

from ringproof import runtime
from ringproof.batches.importing import begin_import, import_roster
from ringproof.batches.model import BatchState
from ringproof.batches.rows import batch_rows
from ringproof.batches.summary import batch_names, batch_summary
from ringproof.ledger.answers import Outcome
from ringproof.ledger.record import State
from ringproof.phone.country_list import PLIVO_SERVES
from ringproof.policy import Policy
from ringproof.rosters.roster import open_roster, roster_of
from worker import cli


def number(at):
    """Return one of 80,000 numbers in San Francisco that other tests do not use."""
    return f"+1415{2_030_000 + at}"


def roster(count, *, first=0, bad=()):
    return "Phone,alias\n" + "".join(f"{number(first + at)},Desk {at}\n" for at in range(count)) + "".join(bad)


# An import that stops itself when its first page is in, and goes on after a SIGCONT.
STOPPING = """
import os
import signal

from ringproof.batches import importing
from worker import cli

put = importing.BatchImport._store_page


def put_and_stop(self):
    put(self)
    importing.BatchImport._store_page = put
    os.kill(os.getpid(), signal.SIGSTOP)


importing.BatchImport._store_page = put_and_stop
cli.main(prog_name="ringproof")
"""


@pytest.fixture
def halfway(idle, tmp_path):
    """The import of people.csv as a process that stands still between its first page and the next."""

    @contextmanager
    def start():
        with started(idle, tmp_path, "import", "people.csv", program=("-c", STOPPING)) as process:
            eventually(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
            yield process

    return start


class Piped(io.BytesIO):
    """A file that cannot be read twice."""

    def __init__(self, text):
        super().__init__(text.encode())

    def seekable(self):
        return False


@pytest.fixture(autouse=True)
def imports(run, idle, tmp_path):
    """The ledger of a Redis without a worker and without a batch."""
    with ledger_of(idle) as ledger:
        ledger.client.flushall()
        ledger.publish_policy(Policy())
        yield ledger


@pytest.fixture
def ringproof(run, idle):
    return partial(run, RINGPROOF_REDIS_URL=idle["RINGPROOF_REDIS_URL"])


def contents(ledger):
    """Return everything that Redis has, as bytes by key."""
    return {key: ledger.client.dump(key) for key in ledger.client.scan_iter()} if ledger.client.dbsize() else {}


class TestAnImport:
    def test_makes_a_batch_with_the_name_of_the_file(self, ringproof, imports, tmp_path):
        (tmp_path / "people.csv").write_text(roster(30))

        done = ringproof("import", "people.csv")
        found = batch_summary(imports, "people")

        assert done.returncode == 0
        assert re.search(r"to send +30 texts", done.stdout)
        assert "people: 30 rows are in; to watch: ringproof batch show people --watch" in done.stdout
        assert number(3) not in done.stdout + done.stderr
        assert (found.state, found.rows, found.unfinished) == (BatchState.RUNNING, 30, 30)
        assert [row.number for row in batch_rows(imports, "people")] == [number(at) for at in range(30)]

    def test_makes_one_batch_of_several_files_of_any_kind_and_standard_input(self, ringproof, imports, tmp_path):
        (tmp_path / "a.csv.gz").write_bytes(gzip.compress(roster(3).encode()))
        (tmp_path / "b.ndjson").write_text(f'{{"msisdn": "{number(3)}"}}\n')

        done = ringproof("import", "a.csv.gz", "b.ndjson", "-", "--paused", stdin=f"{number(4)}\n".encode("utf-16"))
        found = batch_summary(imports, "a")

        assert done.returncode == 0, done.stderr
        assert "5 rows are in, paused; to send: ringproof batch resume a" in done.stdout
        assert (found.state, found.rows) == (BatchState.PAUSED, 5)

    def test_says_how_many_aliases_were_cleaned_and_loses_no_row(self, ringproof, imports, tmp_path):
        bad = [f'{number(30)},"Front\ndesk"\n', f"{number(31)},{'é' * 300}\n", f"{number(32)},Zo\u00a0ë\n"]
        (tmp_path / "people.csv").write_text(roster(30, bad=bad))

        done = ringproof("import", "people.csv", "--channel", "SMS")

        assert done.returncode == 0, done.stderr
        assert re.search(r"alias +column 'alias'; 2 cleaned: no line breaks or control characters", done.stdout)
        assert "rejected" not in done.stdout
        aliases = {row.number: row.alias for row in batch_rows(imports, "people")}
        assert [aliases[number(at)] for at in (30, 31, 32)] == ["Front desk", "é" * 255, "Zo ë"]

    def test_dry_shows_the_forecast_and_changes_nothing(self, ringproof, imports, tmp_path):
        (tmp_path / "people.csv").write_text(roster(30))
        before = contents(imports)

        done = ringproof("import", "people.csv", "--dry-run")
        without = ringproof("import", "people.csv", "--dry-run", RINGPROOF_REDIS_URL="redis://127.0.0.1:1/0")

        assert (done.returncode, without.returncode) == (0, 0)
        assert contents(imports) == before
        assert "--dry-run" in done.stdout
        assert re.search(r"takes +1 s at the present pace of 300/5s", done.stdout)
        assert re.search(r"to send +30 texts", without.stdout)
        assert "Redis at" in without.stderr

    def test_shows_numbers_without_a_code_and_in_quiet_hours_and_how_long_it_takes(self, ringproof, imports, tmp_path):
        hours = (imports.now().hour - 8) % 24  # about noon in San Francisco
        night = f"{(hours - 3) % 24:02}:00-{(hours + 3) % 24:02}:00"
        imports.publish_policy(Policy(quiet_hours=night, countries=("US", "GB")))
        sent = imports.accept(number(0), token="a", country="US").request
        (begun,) = imports.begin([(number(0), sent)])
        imports.settle(number(0), sent, begun.fence, Outcome(State.CODE_SENT, verification_uuid="u"))
        imports.accept(number(1), token="b", country="US")
        rows = roster(20) + f"{number(19)},again\n+4915123456789,Berlin\n+441212340741,landline\nnix,\n"
        (tmp_path / "people.csv").write_text(rows)

        done = ringproof("import", "people.csv", "--channel", "auto", "--dry-run", "--max-reject-share", "20%")

        shown = dict(re.findall(r"^(\S+(?: \S+)?)  +(.*?) *$", done.stdout, re.MULTILINE))
        assert shown == {
            "numbers": "column 'Phone'",
            "alias": "column 'alias'",
            "rows": "24",
            "rejected": "1: not_a_number 1",
            "duplicates": "1 row",
            "countries": "US 21, DE 1, GB 1",
            "outside US": f"2 rows: {PLIVO_SERVES}",
            "no code": "1 with a code that may be live, 1 requested already, 1 that RINGPROOF_COUNTRIES leaves out",
            "to send": "18 texts and 1 call",
            "asleep now": f"18 of them wait until their quiet hours ({night}) end",
            "takes": "1 s at the present pace of 300/5s, calls 2/1s, if nothing else is sent",
        }

    def test_names_the_column_the_header_and_the_contacts_without_a_number(self, ringproof, tmp_path):
        rows = f"Contacts 2026,\nName,Telefon\nAda,{number(0)}\nBen,\nCy,n/a\nDi,-\nEd,{number(1)}\n"
        (tmp_path / "people.csv").write_text(rows)
        (tmp_path / "more.csv").write_text(f"{number(2)}\n")

        one = ringproof("import", "people.csv", "--dry-run")
        two = ringproof("import", "people.csv", "more.csv", "--dry-run")

        assert one.returncode == 0, one.stderr
        assert re.search(r"^numbers +column 'Telefon', header in line 2 *$", one.stdout, re.MULTILINE)
        assert re.search(r"^no number +3 rows *$", one.stdout, re.MULTILINE)
        assert "rejected" not in one.stdout
        assert "people.csv: column 'Telefon', header in line 2; more.csv: column 1, no header" in two.stdout

    @pytest.mark.parametrize(
        ("header", "number_is", "alias_is"),
        [
            ("Company name,Mobile", "column 'Mobile'", "none (there is 'Company name': --map alias='Company name')"),
            ("Nombre,Teléfono", "column 'Teléfono'", "none (there is 'Nombre': --map alias=Nombre)"),
            ("Nom,Téléphone,Nom", "column 'Téléphone'", "none (there is 'Nom': --map alias=1)"),
            ("Wohnort,Handy", "column 'Handy'", "none"),
        ],
    )
    def test_says_which_column_is_the_number_and_which_could_be_the_alias(
        self, ringproof, tmp_path, header, number_is, alias_is
    ):
        (tmp_path / "people.csv").write_text(f"{header}\nAda,{number(1)}\nZoë,+4915123456789\n")

        shown = dict(
            re.findall(
                r"^(\S+(?: \S+)?)  +(.*?) *$", ringproof("import", "people.csv", "--dry-run").stdout, re.MULTILINE
            )
        )

        assert (shown["numbers"], shown["alias"], shown["countries"]) == (number_is, alias_is, "US 1, DE 1")

    def test_proposes_an_alias_only_as_a_command_that_each_file_takes(self, ringproof, tmp_path):
        (tmp_path / "de.csv").write_text(f"Name,Handy\nZoë,{number(0)}\n")
        (tmp_path / "es.csv").write_text(f"Nombre,Móvil\nAna,{number(1)}\n")

        done = ringproof("import", "de.csv", "es.csv", "--dry-run")
        alone = ringproof("import", "es.csv", "--dry-run", "--map", "alias=Nombre")

        assert "de.csv: none (there is 'Name': imported alone, --map alias=Name)" in done.stdout
        assert "es.csv: none (there is 'Nombre': imported alone, --map alias=Nombre)" in done.stdout
        assert "column 'Nombre'" in alone.stdout

    def test_takes_no_time_if_there_is_nothing_to_send(self, ringproof, imports, tmp_path):
        imports.accept(number(0), token="a", country="US")
        (tmp_path / "people.csv").write_text(f"phone\n{number(0)}\n")

        done = ringproof("import", "people.csv", "--dry-run")

        assert re.search(r"^to send +nothing *$", done.stdout, re.MULTILINE)
        assert "takes" not in done.stdout

    def test_says_how_many_numbers_are_asleep_even_without_quiet_hours(self, ringproof, tmp_path):
        around_the_world = [number(1), "+4915123456789", "+819012345678"]  # one of them has night at any time
        (tmp_path / "people.csv").write_text("phone\n" + "\n".join(around_the_world))

        done = ringproof("import", "people.csv", "--dry-run")

        night = r"^asleep now +[1-3] of them \(21:00-08:00 where they are\); RINGPROOF_QUIET_HOURS is not set"
        assert re.search(night, done.stdout, re.MULTILINE)

    @pytest.mark.parametrize("options", [("--yes",), ("--paused",)])
    def test_of_many_rows_from_a_pipe_needs_a_yes_or_sends_nothing_yet(self, ringproof, imports, options):
        few = ringproof("import", "-", "--batch", "few", stdin=roster(100))
        refused = ringproof("import", "-", "--batch", "many", stdin=roster(101))
        names = batch_names(imports)
        done = ringproof("import", "-", "--batch", "many", *options, stdin=roster(101))

        assert (few.returncode, refused.returncode, done.returncode) == (0, 1, 0)
        assert "there is no terminal to ask on, and more than 100 rows; to send: --yes" in refused.stderr
        assert names == ["few"]
        assert batch_summary(imports, "many").rows == 101


class TestRejects:
    def test_do_not_count_contacts_without_a_number_for_the_share(self, ringproof, tmp_path):
        (tmp_path / "people.csv").write_text("Phone,Name\n" + "-,Ben\n" * 100 + f"{number(0)},Ada\nx,Cy\n")
        (tmp_path / "empty.csv").write_text("Phone,Name\n,Ben\n-,Cy\n")

        done = ringproof("import", "people.csv")
        empty = ringproof("import", "empty.csv")

        assert (done.returncode, empty.returncode) == (1, 1)
        assert "1 of 2 rows are rejected (not_a_number 1), and 100 rows more have no number" in done.stderr
        assert "no row has a number (2 rows)" in empty.stderr
        assert "--map number=COLUMN" in empty.stderr

    def test_above_the_share_leave_no_batch_and_the_error_proposes_a_region(self, ringproof, imports, tmp_path):
        rows = roster(8, bad=("4155552671,\n", "(415) 555-2672,\n", "nix,\n"))
        (tmp_path / "people.csv").write_text(rows)

        done = ringproof("import", "people.csv", "--rejects", "rejects.csv")
        left = batch_names(imports)
        again = ringproof("import", "people.csv", "--region", "US")

        assert (done.returncode, done.stdout, left) == (1, "", [])
        assert "people.csv: 3 of 11 rows are rejected (no_country 2, not_a_number 1)" in done.stderr
        assert "name the country with --region US" in done.stderr
        assert stat.S_IMODE((tmp_path / "rejects.csv").stat().st_mode) == 0o600
        assert "10,Phone,no_country,4155552671," in (tmp_path / "rejects.csv").read_text()
        assert again.returncode == 0
        assert batch_summary(imports, "people").rows == 10

    def test_whose_plus_was_lost_are_recognised_as_a_column_and_read_with_plus(self, ringproof, imports, tmp_path):
        rows = "".join(f"49171678{at}\n" for at in range(3100, 3140)) + "+4915123456789\n"
        (tmp_path / "people.csv").write_text("Handy\n" + rows)

        done = ringproof("import", "people.csv", "--region", "DE")
        shown = ringproof("import", "people.csv", "--region", "DE", "--dry-run", "--max-reject-share", "99%")
        left = batch_names(imports)
        again = ringproof("import", "people.csv", "--region", "DE", "--plus", "--channel", "auto")

        assert (done.returncode, left) == (1, [])
        for text in (done.stderr, shown.stdout):
            assert "these 40 look like international numbers whose + was lost: --plus" in " ".join(text.split())
        assert again.returncode == 0
        assert next(iter(batch_rows(imports, "people"))).number == "+491716783100"
        assert batch_summary(imports, "people").rows == 41

    def test_of_each_file_can_be_corrected_and_imported(self, ringproof, imports, tmp_path):
        for name, first in (("a.csv", 0), ("b.ndjson", 10)):
            good = [f'{{"phone": "{number(first)}"}}\n' if name == "b.ndjson" else f"phone\n{number(first)}\n"]
            bad = '{"phone": "nix"}\n' if name == "b.ndjson" else "nix\n"
            (tmp_path / name).write_text("".join([*good, bad]))

        done = ringproof("import", "a.csv", "b.ndjson", "--rejects", "bad.txt", "--max-reject-share", "50%")
        rejects = tmp_path / "bad.b.txt"
        rejects.write_text(rejects.read_text().replace("nix", number(11)))
        (tmp_path / "bad.a.txt").unlink()

        assert done.returncode == 0, done.stderr
        assert ringproof("import", "bad.b.txt", "--batch", "corrected").returncode == 0
        assert [row.number for row in batch_rows(imports, "corrected")] == [number(11)]

    def test_that_cannot_be_written_leave_no_batch(self, ringproof, imports, tmp_path):
        (tmp_path / "people.csv").write_text(roster(90, bad=("nix,\n",)))
        (tmp_path / "notes.txt").write_text("mine\n")

        missing = ringproof("import", "people.csv", "--rejects", "missing/rejects.csv")
        mine = ringproof("import", "people.csv", "--rejects", "notes.txt")

        assert (missing.returncode, mine.returncode) == (1, 1)
        assert "missing/rejects.csv: it cannot be written: No such file or directory" in missing.stderr
        assert "notes.txt: it exists and holds no rejects" in mine.stderr
        assert (tmp_path / "notes.txt").read_text() == "mine\n"
        assert batch_names(imports) == []

    def test_of_all_rows_are_an_error_even_if_any_share_is_allowed(self, ringproof, imports, tmp_path):
        (tmp_path / "people.csv").write_text("phone\nnix\n")

        done = ringproof("import", "people.csv", "--max-reject-share", "100%")

        assert done.returncode == 1
        assert "1 of 1 rows are rejected" in done.stderr
        assert batch_names(imports) == []


class TestOnATerminal:
    QUESTION = "Send these codes?"

    @pytest.fixture
    def terminal(self, idle, tmp_path):
        (tmp_path / "people.csv").write_text(roster(30))
        return partial(Terminal, idle, tmp_path, "import", "people.csv")

    @pytest.mark.parametrize(("answer", "left", "exits"), [("y\n", ["people"], 0), ("n\n", [], 1), ("\n", [], 1)])
    def test_it_asks_and_a_no_leaves_no_batch(self, terminal, imports, answer, left, exits):
        with terminal() as screen:
            screen.until_shown(self.QUESTION)
            before = batch_summary(imports, "people")
            screen.types(answer)

            assert screen.end() == exits
        assert before.state is BatchState.IMPORTING
        assert re.search(r"to send +30 texts", screen.shown)
        assert batch_names(imports) == left

    def test_it_does_not_ask_to_send_what_stays_paused(self, terminal, imports):
        with terminal("--paused") as screen:
            screen.until_shown("Import these rows? Nothing is sent yet. [y/N]")
            screen.types("y\n")

            assert screen.end() == 0
        assert self.QUESTION not in screen.shown
        assert batch_summary(imports, "people").state is BatchState.PAUSED

    def test_ctrl_c_once_or_twice_leaves_no_batch(self, terminal, imports):
        with terminal() as screen:
            screen.until_shown(self.QUESTION)
            screen.process.send_signal(signal.SIGINT)
            screen.process.send_signal(signal.SIGINT)

            assert screen.end() == 1
        assert "interrupted; nothing was imported" in screen.shown
        assert "Traceback" not in screen.shown
        assert batch_names(imports) == []

    def test_with_yes_it_does_not_ask(self, terminal, imports):
        with terminal("--yes") as screen:
            assert screen.end() == 0
        assert self.QUESTION not in screen.shown
        assert batch_summary(imports, "people").state is BatchState.RUNNING


class TestProgress:
    def test_without_a_terminal_is_a_line_from_time_to_time_with_the_time_left(self, tmp_path, monkeypatch):
        (tmp_path / "people.csv").write_text(roster(20_000))
        monkeypatch.setattr("worker.views.progress.LINE_SECONDS", 0)

        done = CliRunner().invoke(cli.main, ["import", str(tmp_path / "people.csv"), "--dry-run"])

        printed = done.stderr.splitlines()
        assert len(printed) == 20
        assert re.fullmatch(r"reading: 10,000 rows, [\d,]+ a second, \d\d%, \d+ s left", printed[9])

    def test_of_a_pipe_has_no_time_left(self, monkeypatch):
        monkeypatch.setattr("worker.views.progress.LINE_SECONDS", 0)

        done = CliRunner().invoke(cli.main, ["import", "-", "--batch", "b", "--dry-run"], input=Piped(roster(2_000)))

        assert re.fullmatch(r"reading: 1,000 rows, [\d,]+ a second", done.stderr.splitlines()[0])

    def test_on_a_terminal_is_a_bar(self, idle, tmp_path):
        (tmp_path / "people.csv").write_text(roster(40_000))
        with Terminal(idle, tmp_path, "import", "people.csv", "--dry-run") as screen:
            screen.until_shown("rows, ")

            assert screen.end() == 0
        assert re.search(r"reading .*%", screen.shown)


class TestTheSameCommandAgain:
    def test_continues_after_a_kill_until_each_row_is_in_once(self, ringproof, imports, halfway, tmp_path):
        (tmp_path / "people.csv").write_text(roster(10_000))
        with halfway() as process:
            process.kill()
        killed = batch_summary(imports, "people")

        done = ringproof("import", "people.csv", "--yes")

        assert (killed.state, killed.rows) == (BatchState.IMPORTING, 1000)
        assert done.returncode == 0, done.stderr
        assert "an earlier run has imported 1,000 rows; going on after them" in done.stderr
        assert [row.number for row in batch_rows(imports, "people")] == [number(at) for at in range(10_000)]

    def test_is_refused_after_the_file_has_changed_and_the_error_says_what_to_do(self, ringproof, imports, tmp_path):
        (tmp_path / "people.csv").write_text(roster(3))
        ringproof("import", "people.csv")
        (tmp_path / "people.csv").write_text(roster(4))

        done = ringproof("import", "people.csv")

        assert (done.returncode, done.stdout) == (1, "")
        assert "error: people: a batch of this name has other rows" in done.stderr
        assert "name" in done.stderr.partition(";")[2]
        assert batch_summary(imports, "people").rows == 3

    @pytest.mark.parametrize("rows", [20, 40_000])
    def test_notices_that_a_pipe_has_other_rows_than_the_earlier_one(self, ringproof, imports, rows):
        with suppress(KeyboardInterrupt), begin_import(imports, "people", fingerprint=None) as importing:
            for row in roster_of([number(at) for at in range(5_000)]):
                importing.add(row)
            raise KeyboardInterrupt
        done = ringproof("import", "-", "--batch", "people", stdin=roster(rows, first=5_000))

        assert (done.returncode, done.stdout) == (1, "")
        assert "error: people: a batch of this name has other rows" in done.stderr
        assert (batch_summary(imports, "people").state, batch_summary(imports, "people").rows) == (
            "importing",
            5_000,
        )
        assert ringproof("import", "-", "--batch", "people", stdin=roster(5_000).replace("Desk", "")).returncode == 1
        same_rows = "\n".join(map(number, range(5_000)))
        assert ringproof("import", "-", "--batch", "people", "--yes", stdin=same_rows).returncode == 0

    @pytest.mark.parametrize(
        ("options", "expected"),
        [((), "the same rows were"), (("--region", "US"), "has other rows"), (("--channel", "auto"), "has other rows")],
    )
    def test_after_an_import_from_python_knows_whether_the_rows_are_the_same(
        self, ringproof, idle, tmp_path, monkeypatch, options, expected
    ):
        monkeypatch.setenv("RINGPROOF_REDIS_URL", idle["RINGPROOF_REDIS_URL"])
        runtime._ledger.cache_clear()
        (tmp_path / "people.csv").write_text(roster(30))
        with open_roster(tmp_path / "people.csv") as rows:
            import_roster(rows, "people")
        runtime.ledger().client.close()
        runtime._ledger.cache_clear()

        again = ringproof("import", "people.csv", *options)

        assert again.returncode == 1
        assert expected in again.stderr

    def test_is_refused_while_the_first_import_runs(self, ringproof, imports, halfway, tmp_path):
        (tmp_path / "people.csv").write_text(roster(10_000))
        with halfway() as process:
            second = ringproof("import", "people.csv")
            process.send_signal(signal.SIGINT)  # before it goes on, because it might be done by then
            process.send_signal(signal.SIGCONT)
            output, errors = process.communicate(timeout=60)

        assert (second.returncode, second.stdout) == (1, "")
        assert "another process imports it" in second.stderr
        assert (process.returncode, output) == (1, "interrupted; nothing was imported\n")
        assert "Traceback" not in errors
        assert batch_names(imports) == []

    def test_continues_after_redis_was_full(self, ringproof, imports, halfway, tmp_path):
        (tmp_path / "people.csv").write_text(roster(10_000))
        with halfway() as process:
            imports.client.config_set("maxmemory", 1)
            process.send_signal(signal.SIGCONT)
            output, errors = process.communicate(timeout=60)
        imports.client.config_set("maxmemory", 0)
        done = ringproof("import", "people.csv", "--yes")

        assert (process.returncode, output) == (1, "")
        assert "the same command goes on where it was" in errors
        assert "did not take it" in errors
        assert done.returncode == 0, done.stderr
        assert batch_summary(imports, "people").rows == 10_000


BAD = {
    "empty": (b"", "it is empty; give a file with rows"),
    "header only": (b"phone,alias\n", "it has a header and no row"),
    "no number column": (
        b"name,city\nAda,Rome\n",
        "it has 'name', 'city'; say which column has them: --map number=COLUMN",
    ),
    "two number columns": (
        f"home phone 1,phone,mobile\n1,{number(0)},{number(1)}\n".encode(),
        "2 columns could be the number: 'phone', 'mobile'; say which one is: --map number=COLUMN",
    ),
    "binary": (bytes(range(256)) * 40, "it is no text file"),
    "a workbook": (b"PK\x03\x04" + bytes(100), "it is an Excel workbook, or another zip archive"),
    "a million columns": (b"c," * 1_000_000 + b"\n", "line 1 is longer than 65,536 characters"),
    "a thousand and one": (b"c," * 1_000 + b"c\n", "it has 1,001 columns"),
    "mixed encodings": (
        f"phone,a\n{number(0)},é\n".encode() + b"1,\xe9\n",
        "line 3 has a byte, 0xE9, that is not UTF-8",
    ),
    "NUL bytes": (f"phone,a\n{number(0)},x\n+1\x00415,y\n".encode(), "1 of 5 rows are rejected (nul 1)"),
    "too many fields": (
        f"phone,a\n{number(0)},x\n{number(1)},Doe, John\n".encode(),
        "1 of 5 rows are rejected (too_many_fields 1)",
    ),
}  # fmt: skip


class TestBadInput:
    @pytest.mark.parametrize("kind", BAD)
    def test_is_one_clear_error_and_leaves_no_batch(self, ringproof, imports, tmp_path, kind):
        content, expected = BAD[kind]
        (tmp_path / "good.csv").write_text(roster(3))
        (tmp_path / "people.csv").write_bytes(content)

        done = ringproof("import", "good.csv", "people.csv", "--batch", "both")

        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"error: {'good.csv, ' if 'rejected' in expected else ''}people.csv: ")
        assert expected in done.stderr
        assert len(done.stderr) < 400
        assert batch_names(imports) == []

    def test_of_a_gigabyte_in_one_line_is_refused_within_seconds(self, ringproof, imports, tmp_path):
        with (tmp_path / "people.csv").open("wb") as file:
            file.write(b"1" * 100_000)
            file.truncate(1_000_000_000)
        began = time.monotonic()

        done = ringproof("import", "people.csv")

        assert done.returncode == 1
        assert "people.csv: line 1 is longer than 65,536 characters" in done.stderr
        assert time.monotonic() - began < 10
        assert batch_names(imports) == []

    @pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
    def test_of_a_file_without_permission_is_an_error(self, ringproof, tmp_path):
        (tmp_path / "people.csv").write_text(roster(3))
        (tmp_path / "people.csv").chmod(0)

        assert "it cannot be opened: Permission denied" in ringproof("import", "people.csv").stderr

    @pytest.mark.parametrize(("name", "expected"), [("missing.csv", "No such file"), (".", "Is a directory")])
    def test_that_is_no_file_is_an_error(self, ringproof, name, expected):
        done = ringproof("import", name, "--batch", "people")

        assert done.returncode == 1
        assert expected in done.stderr

    def test_of_a_file_that_changes_during_the_import_leaves_no_batch(self, halfway, imports, tmp_path):
        path = tmp_path / "people.csv"
        path.write_text(roster(70_000))
        with halfway() as process:
            path.write_text("")
            process.send_signal(signal.SIGCONT)
            output, errors = process.communicate(timeout=60)

        assert (process.returncode, output) == (1, "")
        assert "people.csv: it changed while it was read; import it when no program writes to it any more" in errors
        assert batch_names(imports) == []

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            ((), "FILE"),
            (("-",), "--batch NAME"),
            (("a.csv", "a.csv"), "named twice"),
            (("a.csv", "--batch", "a/b"), "--batch"),
            (("ü.csv",), "--batch"),
            (("a.csv", "--region", "QQ"), "--region"),
            (("a.csv", "--channel", "fax"), "--channel"),
            (("a.csv", "--map", "number"), "number=Phone"),
            (("a.csv", "--map", "fax=Phone"), "--map"),
            (("a.csv", "--max-reject-share", "10"), "10%"),
            (("a.csv", "--max-reject-share", "101%"), "10%"),
        ],
    )
    def test_on_the_command_line_exits_with_2(self, imports, tmp_path, monkeypatch, arguments, expected):
        monkeypatch.chdir(tmp_path)
        for name in ("a.csv", "ü.csv"):
            (tmp_path / name).write_text(roster(1))

        done = CliRunner().invoke(cli.main, ["import", *arguments])

        assert (done.exit_code, done.stdout) == (2, "")
        assert expected in done.stderr
        assert batch_names(imports) == []


def test_map_takes_column_names_with_commas(ringproof, imports, tmp_path):
    (tmp_path / "people.csv").write_text(f'"Phone, home",Phone,Who\n{number(0)},{number(1)},Ada\n')

    done = ringproof("import", "people.csv", "--map", "number=Phone, home,alias=Who")

    assert done.returncode == 0, done.stderr
    assert [(row.number, row.alias) for row in batch_rows(imports, "people")] == [(number(0), "Ada")]
