"""`ringproof batch`: list, show, pause, resume, cancel, retry and export."""

import csv
import io
import json
import os
import re
import shlex
import signal
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from click.testing import CliRunner
from support.harness import Terminal, Worker, ledger_of, started, stopped

from ringproof import runtime
from ringproof.batches import operations
from ringproof.batches.export import csv_lines
from ringproof.batches.importing import begin_import
from ringproof.batches.model import Batch, BatchRow, BatchState
from ringproof.batches.rows import batch_rows
from ringproof.batches.summary import batch_names, batch_summary
from ringproof.phone.masking import mask
from ringproof.policy import Policy
from ringproof.rosters.roster import roster_of
from worker import cli
from worker.views.batch import batch_line


def number(at):
    return f"+1415{2_120_000 + at}"


@pytest.fixture(autouse=True)
def ledger(idle):
    """The ledger of a Redis without a worker, with a batch of three rows."""
    with ledger_of(idle) as found:
        found.client.flushall()
        found.publish_policy(Policy())
        put(found, "spring", [number(0), {"phone": number(1), "alias": "=HYPERLINK(1)"}, number(2)])
        yield found


def put(ledger, name, rows):
    with begin_import(ledger, name, fingerprint=None, source=f"{name}.csv") as importing:
        roster = roster_of(rows)
        importing.keep_columns(roster.columns)
        for row in roster:
            importing.add(row)
        importing.finish()


@pytest.fixture
def ringproof(run, idle):
    return partial(run, "batch", RINGPROOF_REDIS_URL=idle["RINGPROOF_REDIS_URL"])


class TestABatch:
    def test_is_listed_with_the_newest_first(self, ringproof, ledger):
        put(ledger, "summer sale", [number(3)])
        done = ringproof("ls")

        first, second = done.stdout.splitlines()
        assert re.match(r"summer sale +running .* 0 of 1 ", first)
        assert re.match(r"spring +running .* 0 of 3 ", second)
        assert done.returncode == 0

    def test_list_without_batches_shows_how_to_make_one(self, ringproof, ledger):
        ledger.client.flushall()

        assert ringproof("ls").stdout == "there is no batch; to make one: ringproof import FILE\n"

    def test_is_shown_in_full(self, ringproof):
        done = ringproof("show", "spring", "--recount")

        assert done.returncode == 3
        assert done.stderr == "counted again, row by row: it agrees\n"
        shown = re.findall(r"^(\w+) +(.*?) *$", done.stdout, re.MULTILINE)
        assert ("batch", "spring (spring.csv)") in shown
        assert ("state", "running") in shown
        assert ("rows", "3: 0 have an outcome, 0 were fed") in shown
        assert ("outcomes", "3  pending") in shown
        assert ("countries", "3  US") in shown

    def test_is_shown_with_commands_that_a_shell_accepts(self, ringproof, ledger):
        put(ledger, "summer sale", [number(3)])
        operations.pause(ledger, "summer sale")

        assert (
            "an operator paused the batch; to go on: ringproof batch resume 'summer sale'"
            in ringproof("show", "summer sale").stdout
        )

    def test_can_be_shown_as_a_line_of_json(self, ringproof):
        shown = json.loads(ringproof("show", "spring", "--json").stdout)

        assert set(shown) == {
            *("name", "state", "created_at", "completed_at", "rows", "fed", "open", "outcomes", "countries"),
            *("rate_per_second", "time_left", "holds", "source", "resent_as", "cost"),
        }
        assert shown["state"] == "running"
        assert shown["countries"] == {"US": {"rows": 3}}
        assert datetime.fromisoformat(shown["created_at"]) < datetime.now(UTC) + timedelta(seconds=9)

    @pytest.mark.parametrize("command", ["show", "pause", "resume", "cancel", "retry", "export"])
    @pytest.mark.parametrize("name", ["sprung", "a/b"])
    def test_that_is_unknown_is_an_error_that_names_those_there_are(self, idle, monkeypatch, command, name):
        with ledger_of(idle) as ledger:
            monkeypatch.setattr(runtime, "ledger", lambda *_: ledger)
            done = CliRunner().invoke(cli.main, ["batch", command, name])

        assert (done.exit_code, done.stdout) == (1, "")
        assert done.stderr == f"error: no batch is named {name}; there are spring\n"

    def test_is_one_line_in_a_log(self):
        batch = Batch(
            "spring",
            BatchState.RUNNING,
            created_at=datetime.now(UTC),
            completed_at=None,
            rows=1000,
            fed=500,
            unfinished=600,
            outcomes={"code_sent": 300, "failed:too_late": 100, "pending": 600},
            countries={},
            rate_per_second=58.24,
            time_left=timedelta(minutes=200),
            held_back_by="it is night there",
            source="",
        )

        assert batch_line(batch) == (
            "spring running: 400 of 1,000, code_sent 300, failed (too_late) 100, pending 600, 58.2 codes a second, "
            "3 h 20 min left; it is night there"
        )


class TestAWatch:
    def test_prints_a_line_at_each_change_until_the_end(self, ringproof, idle, tmp_path):
        with started(idle, tmp_path, "batch", "show", "spring", "--watch") as process:
            first = process.stdout.readline()
            ringproof("pause", "spring")
            second = process.stdout.readline()
            ringproof("cancel", "spring", "--yes")
            rest, errors = process.communicate(timeout=60)

        assert first.startswith("spring running: 0 of 3, pending 3")
        assert "spring paused: 0 of 3" in second
        assert "ringproof batch resume" in second
        assert rest == "spring cancelled: 3 of 3, cancelled 3\n"
        assert (process.returncode, errors) == (1, "")

    def test_ends_by_ctrl_c_and_leaves_the_batch_alone(self, idle, ledger, tmp_path):
        with Terminal(idle, tmp_path, "batch", "show", "spring", "--watch") as screen:
            screen.until_shown("pending")
            screen.process.send_signal(signal.SIGINT)

            assert screen.end() == 3
        assert (
            "spring goes on without this command; to watch again: ringproof batch show spring --watch" in screen.shown
        )
        assert "Traceback" not in screen.shown
        assert batch_summary(ledger, "spring").state is BatchState.RUNNING


@pytest.fixture
def bulk(idle, plivo, tmp_path):
    """A worker with a beat on that Redis. It takes ticks and bulk."""
    options = ("-B", "-Q", "ringproof.ticks,ringproof.bulk")
    with stopped(Worker(tmp_path / "worker.log", idle, tmp_path, *options, concurrency=2)) as running:
        yield running


@pytest.mark.usefixtures("bulk")
def test_an_import_is_watched_until_it_is_completed_and_its_codes_exported(run, idle, plivo, tmp_path):
    (tmp_path / "people.csv").write_text("phone,alias\n" + "".join(f"{number(at)},Desk {at}\n" for at in range(10, 50)))
    on_it = {"RINGPROOF_REDIS_URL": idle["RINGPROOF_REDIS_URL"]}

    imported = run("import", "people.csv", **on_it)
    watched = run("batch", "show", "people", "--watch", **on_it)
    exported = run("batch", "export", "people", "--format", "json", **on_it)

    assert (imported.returncode, watched.returncode, exported.returncode) == (0, 0, 0)
    assert watched.stdout.splitlines()[-1] == "people completed: 40 of 40, code_sent 40"
    rows = [json.loads(row) for row in exported.stdout.splitlines()]
    assert {row["phone_number"]: row["verification_uuid"] for row in rows} == {
        send["phone_number"]: send["verification_uuid"]
        for send in plivo.sends()
        if send["phone_number"] in {number(at) for at in range(10, 50)}
    }
    assert {row["state"] for row in rows} == {"code_sent"}


class TestControl:
    def test_pauses_and_resumes_a_batch(self, ringproof, ledger):
        done = [ringproof(word, "spring") for word in ("pause", "pause", "resume", "resume")]

        assert [(each.returncode, each.stdout) for each in done] == [
            (0, "spring is paused; to go on: ringproof batch resume spring\n"),
            (0, "spring is paused already; to go on: ringproof batch resume spring\n"),
            (0, "spring goes on, at the pace\n"),
            (1, "spring was not paused: it is running\n"),
        ]
        assert batch_summary(ledger, "spring").state is BatchState.RUNNING

    def test_cancels_a_batch_for_good(self, ringproof, ledger):
        done = [
            ringproof(*shlex.split(line), "spring") for line in ("cancel --yes", "cancel", "resume", "pause", "retry")
        ]

        assert [(each.returncode, each.stdout) for each in done] == [
            (0, "spring is cancelled; rows that have not begun will not be sent\n"),
            (1, "spring is cancelled; there is nothing to cancel\n"),
            (1, "spring is cancelled; there is nothing to resume\n"),
            (1, "spring is cancelled; there is nothing to pause\n"),
            (1, "spring is cancelled; there is nothing to retry\n"),
        ]
        assert batch_summary(ledger, "spring").outcomes == {"cancelled": 3}

    def test_deletes_an_import_that_was_cut_short(self, ringproof, run, idle, ledger, tmp_path):
        with pytest.raises(RuntimeError), begin_import(ledger, "fall sale", fingerprint="f"):
            raise RuntimeError
        (tmp_path / "other.csv").write_text(f"phone\n{number(4)}\n")
        redis = idle["RINGPROOF_REDIS_URL"]
        other = run("import", "other.csv", "--batch", "fall sale", RINGPROOF_REDIS_URL=redis)
        done = [
            ringproof(word, "fall sale", *yes)
            for word, *yes in (["pause"], ["retry"], ["show"], ["cancel", "--yes"], ["cancel"])
        ]

        way_out = "ringproof batch cancel 'fall sale'"
        assert f"or delete the stored rows: {way_out} (see " in other.stderr
        assert [(each.returncode, each.stdout) for each in done[:2]] == [
            (1, f"fall sale is importing; there is nothing to {word}; to delete it: {way_out}\n")
            for word in ("pause", "retry")
        ]
        assert f"or delete the rows that are in: {way_out}" in done[2].stdout
        assert [each.returncode for each in done[3:]] == [0, 1]
        assert done[3].stdout == "fall sale is deleted: its import was cut short\n"
        assert batch_names(ledger) == ["spring"]
        assert list(ledger.client.scan_iter("*fall*")) == []

    def test_does_not_cancel_an_import_that_is_still_running(self, ringproof, ledger):
        with begin_import(ledger, "summer", fingerprint="f") as importing:
            done = ringproof("cancel", "summer", "--yes")
            importing.abandon()

        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("error: summer: another process imports it")

    def test_does_not_cancel_without_an_answer(self, ringproof, ledger):
        done = ringproof("cancel", "spring")

        assert (done.returncode, done.stdout) == (1, "")
        assert "Cancel spring? [y/N]" in done.stderr
        assert batch_summary(ledger, "spring").state is BatchState.RUNNING

    def test_asks_on_a_terminal_before_it_cancels(self, idle, ledger, tmp_path):
        with Terminal(idle, tmp_path, "batch", "cancel", "spring") as screen:
            screen.until_shown("3 of 3 rows have no outcome yet. Cancel spring?")
            screen.types("n\n")

            assert screen.end() == 1
        assert batch_summary(ledger, "spring").state is BatchState.RUNNING

    def test_retries_rows_that_failed_for_a_known_reason(self, ringproof):
        none, wrong = ringproof("retry", "spring"), ringproof("retry", "spring", "--reason", "too_late,bad luck")

        assert (none.returncode, none.stdout) == (
            1,
            "no row of spring has failed as unreachable, too_late, in_doubt\n",
        )
        assert wrong.returncode == 2
        assert "'bad luck' is not one of unreachable, too_late, in_doubt" in wrong.stderr


class TestAResend:
    @pytest.fixture
    def unanswered(self, ledger):
        """The batch has one number that did not answer, one that did, and one whose code may still work."""
        for at, age in enumerate((-1000, -1000, 1000)):
            sent = {"state": "code_sent", "request": 1_764_000_000, "lane": "bulk", "channel": "sms", "attempts": 1}
            if at == 1:  # and a newer request of it was refused since
                sent |= {"state": "failed", "reason": "rejected", "verified_at": 1_764_000_000_000}
            ledger.client.hset(ledger.keys.record(number(at)), mapping=sent)
            live_until = int(ledger.now().timestamp() + age) * 1000
            ledger.client.hset(ledger.keys.record(number(at)), "live_until", live_until)
        ledger.client.set(ledger.keys.batch("spring").bytes[0], "ece")

    @pytest.mark.usefixtures("unanswered")
    def test_makes_a_new_batch_to_which_the_old_one_points(self, ringproof, ledger):
        done = ringproof("resend", "spring", "--unanswered")

        assert done.returncode == 0, done.stderr
        assert "left out: 1 code may still work" in " ".join(done.stdout.split())
        assert (
            "spring-resend: 1 row of spring is in; to watch: ringproof batch show spring-resend --watch" in done.stdout
        )
        assert [row.number for row in batch_rows(ledger, "spring-resend")] == [number(0)]
        assert json.loads(ringproof("show", "spring", "--json").stdout)["resent_as"] == "spring-resend"
        assert re.search(r"resent as +spring-resend", ringproof("show", "spring").stdout)

    @pytest.mark.usefixtures("unanswered")
    def test_asks_on_a_terminal_and_a_no_leaves_no_batch(self, idle, ledger, tmp_path):
        with Terminal(idle, tmp_path, "batch", "resend", "spring", "--unanswered") as screen:
            screen.until_shown("Send these codes?")
            screen.types("n\n")

            assert screen.end() == 1
        assert batch_names(ledger) == ["spring"]

    def test_without_an_unanswered_row_is_refused_and_so_is_one_that_names_no_rows(self, ringproof, ledger):
        none, unnamed = ringproof("resend", "spring", "--unanswered"), ringproof("resend", "spring")

        assert (none.returncode, none.stdout) == (1, "no row of spring is unanswered\n")
        assert (unnamed.returncode, "--unanswered" in unnamed.stderr) == (2, True)
        assert batch_names(ledger) == ["spring"]


class TestStandardOutput:
    """A shell may give the command a full disk, no standard output, or a pipe that is closed."""

    @pytest.fixture
    def shell(self, idle, tmp_path):
        def run(command, stdout=subprocess.PIPE):
            line = f"{shlex.quote(sys.executable)} -m worker {command}"
            return subprocess.run(
                ["sh", "-c", line],
                env=idle,
                cwd=tmp_path,
                stdout=stdout,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )

        (tmp_path / "summer.csv").write_text(f"phone\n{number(5)}\n")
        return run

    @pytest.mark.parametrize("command", ["batch export spring", "batch show spring --json", "import summer.csv --yes"])
    def test_on_a_full_disk_is_an_error_in_a_line_and_no_batch_begins(self, shell, ledger, command):
        done = shell(f"{command} > /dev/full")

        assert done.returncode == 1
        assert done.stderr.startswith("error: standard output cannot be written: No space left on device; ")
        assert len(done.stderr.splitlines()) == 1
        assert batch_names(ledger) == ["spring"]

    def test_if_it_is_closed_is_a_wrong_usage(self, shell):
        done = shell("batch show spring >&-")

        assert (done.returncode, "Standard output is closed." in done.stderr) == (2, True)

    def test_if_its_pipe_closes_before_the_forecast_leaves_no_half_import(self, shell, ledger):
        reads, writes = os.pipe()
        os.close(reads)
        done = shell("import summer.csv --yes", writes)
        os.close(writes)

        assert done.returncode != 0
        assert batch_names(ledger) == ["spring"]


class TestAnExport:
    def test_is_csv_or_objects_with_numbers_in_full_in_a_pipe(self, ringproof):
        as_csv, as_json = ringproof("export", "spring"), ringproof("export", "spring", "--format", "json")

        rows = list(csv.DictReader(io.StringIO(as_csv.stdout)))
        assert [(row["phone_number"], row["state"]) for row in rows] == [(number(at), "pending") for at in range(3)]
        assert rows[1]["alias"] == "=HYPERLINK(1)"
        assert [json.loads(row) for row in as_json.stdout.splitlines()] == [
            {name: int(value) if name == "line" else value or None for name, value in row.items()} for row in rows
        ]

    def test_is_masked_on_a_terminal(self, idle, tmp_path):
        with Terminal(idle, tmp_path, "batch", "export", "spring") as screen:
            assert screen.end() == 0
        assert mask(number(0)) in screen.shown
        assert number(0) not in screen.shown

    def test_for_a_spreadsheet_has_no_formula(self, ringproof):
        done = ringproof("export", "spring", "--excel")

        assert done.stdout.startswith("\ufeffphone_number,")
        assert not re.search(r"(^|,)\"?[=+\-@\t]", done.stdout, re.MULTILINE)
        assert "'=HYPERLINK(1)" in done.stdout
        assert ringproof("export", "spring", "--excel", "--format", "json").returncode == 2

    @pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r"])
    def test_for_a_spreadsheet_has_no_sign_that_begins_a_formula(self, sign):
        written = io.StringIO(newline="")
        row = BatchRow(number(0), "sms", f"{sign}1", None, "failed", "too_late", None, None, None)
        written.writelines(csv_lines([row], masked=False, excel=True))

        (_, row) = csv.reader(io.StringIO(written.getvalue(), newline=""))
        assert row[4] == f"'{sign}1"

    def test_in_a_file_belongs_to_its_owner_and_replaces_only_another_export(self, ringproof, tmp_path):
        (tmp_path / "roster.csv").write_text("phone\n")
        done = [ringproof("export", "spring", "--output", "out.csv") for _ in range(2)]
        refused = ringproof("export", "spring", "--output", "roster.csv")
        link = ringproof("export", "spring", "--output", "/dev/stdout")

        assert [each.stdout for each in done] == ["3 rows of spring are in out.csv\n"] * 2
        assert stat.S_IMODE((tmp_path / "out.csv").stat().st_mode) == 0o600
        assert len((tmp_path / "out.csv").read_text().splitlines()) == 4
        assert (refused.returncode, link.returncode) == (1, 1)
        assert "it exists and holds no export" in refused.stderr
        assert link.stdout == ""
        assert "/dev/stdout: it is a symbolic link: name an ordinary file, or leave --output away" in link.stderr
        assert (tmp_path / "roster.csv").read_text() == "phone\n"

    @pytest.fixture
    def leads(self, run, idle, tmp_path):
        """A batch of an Italian CRM's export: two good rows, and one that is rejected."""
        (tmp_path / "leads.csv").write_text(
            "ID;state;Cellulare;Note\n"
            f'7;CA;{number(5)};"prima riga\nseconda; riga"\n'
            f"8;NY;333 12;\n9;TX;(415) 212-0006;=cmd\n"
        )
        options = ("--region", "US", "--max-reject-share", "50%")
        done = run("import", "leads.csv", *options, RINGPROOF_REDIS_URL=idle["RINGPROOF_REDIS_URL"])
        assert done.returncode == 0, done.stderr

    @pytest.mark.usefixtures("leads")
    def test_has_all_columns_of_the_file_its_lines_and_the_rejected_rows(self, ringproof, tmp_path):
        done = ringproof("export", "leads", "--output", "out.csv")
        rows = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text())))

        assert done.stdout == "3 rows of leads are in out.csv, 1 of them rejected\n"
        shown = ("phone_number", "state", "country", "line", "written_as", "ID", "file_state", "Note")
        assert [tuple(row[name] for name in shown) for row in rows] == [
            (number(5), "pending", "US", "2", number(5), "7", "CA", "prima riga\nseconda; riga"),
            (number(6), "pending", "US", "5", "(415) 212-0006", "9", "TX", "=cmd"),
            ("", "rejected", "", "4", "333 12", "8", "NY", ""),
        ]
        assert rows[2]["reason"]
        assert rows[0]["Cellulare"] == number(5)

    @pytest.mark.usefixtures("leads")
    def test_has_the_columns_that_are_chosen_in_that_order(self, ringproof):
        done = ringproof("export", "leads", "--columns", "file_state,phone_number,state")
        as_json = ringproof("export", "leads", "--columns", "ID", "--format", "json")
        wrong = ringproof("export", "leads", "--columns", "phone_number,Stato")
        files = [ringproof("export", "leads", "--columns", "ID,state", "--output", "out.csv") for _ in range(2)]
        refused = ringproof("export", "leads", "--columns", "Cellulare", "--output", "leads.csv")

        assert done.stdout.splitlines()[:2] == ["file_state,phone_number,state", f"CA,{number(5)},pending"]
        assert as_json.stdout.splitlines() == ['{"ID": "7"}', '{"ID": "9"}', '{"ID": "8"}']
        assert wrong.returncode == 2
        assert "choose from phone_number, state" in wrong.stderr
        assert [each.returncode for each in (*files, refused)] == [0, 0, 1]

    @pytest.mark.usefixtures("leads")
    def test_is_masked_on_a_terminal_in_all_columns(self, idle, tmp_path):
        with Terminal(idle, tmp_path, "batch", "export", "leads") as screen:
            assert screen.end() == 0
        assert number(5)[2:] not in screen.shown
        assert "212-0006" not in screen.shown

    def test_of_a_batch_without_columns_has_none(self, run, ringproof, idle, tmp_path):
        (tmp_path / "bare.csv").write_text(f"phone,City\n{number(7)},Rome\n")
        run("import", "bare.csv", "--no-columns", RINGPROOF_REDIS_URL=idle["RINGPROOF_REDIS_URL"])
        (row,) = csv.DictReader(io.StringIO(ringproof("export", "bare").stdout))

        assert "City" not in row
        assert (row["phone_number"], row["line"]) == (number(7), "")

    def test_for_a_spreadsheet_can_be_imported_again(self, run, ringproof, ledger, idle):
        ringproof("export", "spring", "--excel", "--output", "out.csv")
        done = run("import", "out.csv", RINGPROOF_REDIS_URL=idle["RINGPROOF_REDIS_URL"])

        assert done.returncode == 0, done.stderr
        assert [row.number for row in batch_rows(ledger, "out")] == [number(at) for at in range(3)]
