"""The `ringproof` command on a terminal and in a script."""

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from datetime import timedelta
from functools import partial

import click
import pytest
import requests
from click.testing import CliRunner
from support.commands import commands_of
from support.harness import eventually, fresh_number, ledger_of, started

from ringproof import runtime
from ringproof.ledger.answers import Outcome
from ringproof.ledger.record import Reason, State
from ringproof.phone.masking import mask
from worker import cli
from worker.local.processes.redis_server import RedisServer
from worker.views.results import ResultPrinter
from worker.views.watcher import RequestWatcher

ABSENT = "redis://127.0.0.1:1/0"
"""A port on which no Redis listens: only root could."""


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def test_every_command_has_a_help_and_its_first_sentence_is_listed_in_full():
    """`--help` would cut a long one."""
    overview = CliRunner().invoke(cli.main, ["--help"]).output

    assert set(cli.main.list_commands(click.Context(cli.main))) == {
        "initiate",
        "status",
        "cancel",
        "confirm",
        "remove",
        "erase",
        "ls",
        "sync",
        "reverify",
        "import",
        "batch",
        "pause",
        "resume",
        "limits",
        "doctor",
        "metrics",
        "page",
        "worker",
        "beat",
        "health",
        "sandbox",
        "demo",
        "audit",
        "serve",
        "door",
        "webhook",
        "accounts",
    }
    for (name, *inner), command in commands_of(cli.main):
        if inner:
            continue
        page = CliRunner().invoke(cli.main, [name, "--help"])
        assert page.exit_code == 0
        assert command.get_short_help_str(limit=64) in overview
        assert not command.get_short_help_str(limit=64).endswith("...")
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{name} {parameter.name}"
                assert parameter.opts[0] in page.output


def test_each_help_lists_its_commands_with_the_first_sentences_of_their_own_help():
    for group in (cli.main, *(one for _, one in commands_of(cli.main) if isinstance(one, click.Group))):
        context = click.Context(group)
        for name in group.list_commands(context):
            _, own, _ = group.resolve_command(context, [name])
            listed = group.get_command(context, name)

            assert (listed.get_short_help_str(200), listed.hidden) == (own.get_short_help_str(200), own.hidden)


def test_without_arguments_the_command_prints_its_help():
    alone = CliRunner().invoke(cli.main, [])

    assert "Usage: ringproof" in CliRunner().invoke(cli.main, [], prog_name="ringproof").output
    assert "initiate" in alone.output


@pytest.mark.usefixtures("worker")
def test_a_number_gets_its_code_and_is_shown_masked(run, plivo):
    number = fresh_number()

    done = run("initiate", number, "--alias", "Front desk")

    assert done.returncode == 0
    assert done.stdout.startswith(f"code_sent  {mask(number)}")
    assert "the code works until" in done.stdout
    assert number not in done.stdout + done.stderr
    assert [send["phone_number"] for send in plivo.sends(number)] == [number]


@pytest.mark.usefixtures("worker")
def test_json_prints_each_record_as_an_object_in_a_line(run, plivo, ledger):
    number, other = fresh_number(), fresh_number()

    done = run("initiate", "--json", number, "12", other)

    printed = {line["phone_number"]: line for line in lines(done.stdout)}
    assert done.returncode == 1
    assert set(printed) == {number, other, "12"}
    assert printed["12"] == {
        "phone_number": "12",
        "error": "InvalidNumber",
        "reason": "no_country",
        "message": printed["12"]["message"],
        "until": None,
    }
    record = ledger.read(number)
    assert printed[number]["state"] == "code_sent"
    assert printed[number]["verification_uuid"] == record.verification_uuid
    assert printed[number]["expires_at"] == record.expires_at.isoformat(timespec="milliseconds")
    assert [change["state"] for change in printed[number]["history"]] == ["queued", "sending", "code_sent"]
    assert "fence" not in printed[number]
    assert done.stderr == ""


@pytest.mark.usefixtures("worker")
def test_the_same_number_in_three_notations_is_one_request_with_one_result(run, plivo):
    number = fresh_number()

    done = run("initiate", number, f"tel:{number}", f"{number[:2]} ({number[2:5]}) {number[5:]}")

    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 1
    assert len(plivo.sends(number)) == 1


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("arguments", [(), ("-",)])
def test_numbers_on_standard_input_may_have_what_spreadsheets_put_around_them(run, plivo, arguments):
    first, second = fresh_number(), fresh_number()

    written = f"\ufeff{first}\r\n\r\n  {second}\t\r\n".encode() + b"\xff\xfe\n"

    done = run("initiate", *arguments, "--json", stdin=written)

    assert done.returncode == 1
    assert {line["phone_number"] for line in lines(done.stdout)} == {first, second, "\ufffd\ufffd"}
    assert len(plivo.sends(first) + plivo.sends(second)) == 2


@pytest.mark.usefixtures("worker", "plivo")
def test_hundreds_of_numbers_on_standard_input_get_a_line_each_and_are_counted(run):
    numbers = [fresh_number() for _ in range(300)]

    done = run("initiate", stdin="\n".join([*numbers, *numbers, "x"]))

    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 301
    assert "301 numbers: 300 code_sent, 1 refused" in done.stderr


@pytest.mark.usefixtures("worker", "plivo")
def test_a_closed_pipe_causes_no_traceback(environ, tmp_path):
    with started(environ, tmp_path, "initiate", "--json", *(fresh_number() for _ in range(20))) as process:
        process.stdin.close()
        assert json.loads(process.stdout.readline())
        process.stdout.close()
        errors = process.stderr.read()

    assert errors == ""


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("initiate",), "Standard input has no number"),
        (("initiate", "--channel", "fax", "+14155550123"), "--channel"),
        (("initiate", "--region", "QQ", "+14155550123"), "--region"),
        (("initiate", "--alias", "Front\ndesk", "+14155550123"), "--alias"),
        (("initiate", "--subaccount", "SA1", "+14155550123"), "--subaccount"),
        (("cancel",), "NUMBER"),
        (("status", "--region", "QQ", "+14155550123"), "--region"),
        (("sandbox", "--port", "70000"), "--port"),
        (("sandbox", "--answers", "right=eighty"), "--answers"),
        (("sandbox", "--answers", "right=1", "--answer-after", "5-1"), "--answer-after"),
        (("sandbox", "--answer-after", "1-5"), "--answer-after"),
        (("bogus",), "bogus"),
    ],
)
def test_a_wrong_usage_exits_with_2_and_names_the_mistake(arguments, hint):
    done = CliRunner().invoke(cli.main, arguments)

    assert (done.exit_code, done.stdout) == (2, "")
    assert hint in done.stderr


def test_initiate_without_a_number_does_not_wait_for_one_on_a_terminal(environ, tmp_path):
    mine, its = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "worker", "initiate"],
        stdin=its,
        capture_output=True,
        text=True,
        env=environ,
        cwd=tmp_path,
        timeout=60,
        check=False,
    )
    os.close(its)
    os.close(mine)

    assert done.returncode == 2
    assert "No NUMBER given" in done.stderr


@pytest.mark.usefixtures("worker", "plivo")
def test_a_refused_number_exits_with_1_and_the_remedy_names_options_of_the_command(run):
    done = run("initiate", "+441212340741", "(415) 555-0123")

    assert done.returncode == 1
    assert "use --channel call or --channel auto" in done.stdout
    assert "name the country with --region US" in done.stdout
    assert "+441212340741" not in done.stdout


@pytest.mark.usefixtures("worker", "plivo")
def test_an_option_or_a_setting_may_name_the_country(run):
    number = fresh_number()

    by_option = run("initiate", number[2:], "--region", "US")
    by_setting = run("status", number[2:], RINGPROOF_REGION="us")

    assert (by_option.returncode, by_setting.returncode) == (0, 0)


@pytest.mark.usefixtures("worker")
def test_a_resend_within_the_cooldown_is_refused(run, plivo, publish):
    number = fresh_number()
    publish(cooldown_ms=60_000)  # the session's second may be over
    run("initiate", number)

    again, resend = run("initiate", number), run("initiate", "--resend", "--json", number)
    (refused,) = lines(resend.stdout)

    assert (again.returncode, resend.returncode) == (0, 1)
    assert (refused["error"], refused["reason"]) == ("CoolingDown", "cooldown")
    assert len(plivo.sends(number)) == 1


@pytest.mark.usefixtures("worker")
def test_a_number_in_doubt_exits_with_3(run, plivo):
    doubtful = fresh_number()
    plivo.befall("500_after", number=doubtful)

    done, status = run("initiate", doubtful), run("status", doubtful)

    assert done.returncode == status.returncode == 3
    assert done.stdout.startswith("in_doubt")
    assert "Plivo may have sent a code" in status.stdout


def test_initiate_without_waiting_ends_as_soon_as_the_request_is_accepted(idle, run):
    number = fresh_number()

    done = run("initiate", "--no-wait", number, **idle)
    status = run("status", "--json", number, **idle)

    assert (done.returncode, status.returncode) == (0, 3)
    assert done.stdout.startswith(f"queued     {mask(number)}")
    assert lines(status.stdout)[0]["state"] == "queued"


def test_initiate_without_a_worker_shows_how_to_start_one(idle, tmp_path):
    with started(idle, tmp_path, "initiate", fresh_number(), fresh_number()) as process:
        first_line = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        output, rest = process.communicate(timeout=60)

    assert re.search("no worker takes messages: [23] messages wait; start one: ringproof worker -P threads", first_line)
    assert "2 accepted numbers go on without this command" in rest
    assert (process.returncode, output) == (3, "")
    assert "Traceback" not in rest


def test_initiate_does_not_wait_for_a_number_that_is_erased_meanwhile(idle, run, tmp_path):
    number = fresh_number()
    with started(idle, tmp_path, "initiate", number) as process, ledger_of(idle) as ledger:
        eventually(lambda: ledger.read(number))
        assert run("erase", "--yes", number, **idle).returncode == 0
        output, _ = process.communicate(timeout=60)

    assert process.returncode == 1
    assert output.startswith(f"unknown    {mask(number)}")
    assert "erased meanwhile" in output


def test_initiate_does_not_wait_for_a_number_that_is_due_in_two_minutes(idle, run):
    number = fresh_number()
    with ledger_of(idle) as ledger:
        request = ledger.accept(number, token=number).request
        (begun,) = ledger.begin([(number, request)])
        later = Outcome(State.WAITING, Reason.UNREACHABLE, wait=timedelta(minutes=2))
        ledger.settle(number, request, begun.fence, later)

    done = run("initiate", number, **idle)

    assert done.returncode == 3
    assert done.stdout.startswith("waiting")
    assert "not before" in done.stdout


class Clock:
    """A clock for the watcher: its time passes only during a sleep."""

    def __init__(self):
        self._now = 0.0

    def monotonic(self):
        return self._now

    def sleep(self, seconds):
        self._now += seconds

    @staticmethod
    def time():
        return time.time()


def test_initiate_ends_after_a_minute_without_progress(idle, monkeypatch):
    clock = Clock()
    monkeypatch.setattr("worker.views.watcher.time", clock)
    monkeypatch.setattr("worker.views.patience.time", clock)
    monkeypatch.setenv("RINGPROOF_REDIS_URL", idle["RINGPROOF_REDIS_URL"])
    numbers = [fresh_number(), fresh_number()]
    usual = runtime.ledger()
    runtime._ledger.cache_clear()

    done = CliRunner().invoke(cli.main, ["initiate", "--no-wait", *numbers])
    watched = CliRunner().invoke(cli.main, ["initiate", *numbers])
    runtime.ledger().client.close()
    usual.client.close()
    runtime._ledger.cache_clear()

    assert (done.exit_code, watched.exit_code) == (0, 3)
    assert watched.stdout.count("queued") == 2
    assert watched.stderr.count("no worker takes messages") == 1
    assert "no progress for 60 s" in watched.stderr


@pytest.mark.usefixtures("worker", "plivo")
def test_status_shows_a_numbers_history(run):
    number = fresh_number()
    run("initiate", number, "--alias", "Brackets [bold] :smile:")

    done = run("status", number)

    assert done.returncode == 0
    assert number not in done.stdout
    assert "Brackets [bold] :smile:" in done.stdout
    words = done.stdout.split()
    assert words.index("queued") < words.index("sending") < len(words) - 1 - words[::-1].index("code_sent")


def test_status_of_an_unknown_number_names_the_command_that_sends_a_code(run):
    number = fresh_number()

    done, as_json = run("status", number), run("status", "--json", number)

    assert done.returncode == as_json.returncode == 1
    assert "ringproof initiate NUMBER" in done.stdout
    assert lines(as_json.stdout) == [{"phone_number": number, "state": None}]


def test_only_a_request_that_has_not_begun_can_be_cancelled(run, ledger):
    number = fresh_number()
    unknown = run("cancel", number)
    request = ledger.accept(number, token=number).request
    cancelled, again = run("cancel", number), run("cancel", number)
    begun = fresh_number()
    ledger.begin([(begun, ledger.accept(begun, token=begun).request)])
    late = run("cancel", begun)

    assert [done.returncode for done in (unknown, cancelled, again, late)] == [1, 0, 0, 1]
    assert "unknown here" in unknown.stdout
    assert "is cancelled; nothing is sent" in cancelled.stdout
    assert "cancelled already" in again.stdout
    assert "not cancelled" in late.stdout
    assert "is sending" in late.stdout
    assert ledger.read(number, request).state is State.CANCELLED


@pytest.mark.usefixtures("worker")
class TestThePace:
    """Commands on a Redis of their own, without a worker."""

    @pytest.fixture(autouse=True)
    def paced(self, run, idle):
        self.run = partial(run, RINGPROOF_REDIS_URL=idle["RINGPROOF_REDIS_URL"])
        self.run("resume")
        self.run("limits", "reset")

    def test_stops_at_a_pause_and_goes_on_after_a_resume(self):
        before = self.run("status")
        paused = [self.run("pause", "--lane", "bulk", "--reason", "the wrong list"), self.run("pause")]
        during = self.run("status")
        resumed = [self.run("resume"), self.run("resume")]

        assert "nothing moves" in before.stdout
        assert "is paused" not in before.stdout
        assert [done.stdout for done in paused] == [
            "bulk is paused; to go on: ringproof resume\n",
            "everything is paused; to go on: ringproof resume\n",
        ]
        for text in ("bulk is paused for", "the wrong list", "ringproof resume --lane bulk", "a person paused it"):
            assert text in during.stdout
        assert [done.returncode for done in (*paused, during, *resumed)] == [0, 0, 1, 0, 1]  # there is no worker
        assert "nothing was paused by a person" in resumed[1].stdout

    def test_has_other_limits_for_a_while_and_keeps_a_history_of_them(self):
        done = self.run("limits", "set", "RATE=240/5s", "CALL_RATE=0.5/1s", "--for", "1h")
        shown, status = self.run("limits"), self.run("status")
        self.run("limits", "reset")
        after = self.run("limits", "show")

        assert done.stdout.startswith("RATE=240/5s CALL_RATE=1/2s until ")
        assert re.search(r"RATE +240/5s +until .*; usually 300/5s", shown.stdout)
        assert "240/5s, which is 47.4 a second; calls 1/2s" in status.stdout
        assert re.search(r"^RATE +300/5s *$", after.stdout, re.MULTILINE)
        assert "RATE=240/5s CALL_RATE=1/2s until" in after.stdout
        assert after.stdout.rstrip().endswith("the usual limits")

    def test_has_lifted_caps_for_a_block_of_numbers_for_a_while(self):
        done = self.run("limits", "set", "--over-cap", "+1 (415) 555", "--for", "1h", "--as", "alice")
        shown, status = self.run("limits"), self.run("status")
        audited = self.run("audit", "--last", "1")
        self.run("limits", "reset")
        after = self.run("limits", "show")

        assert re.fullmatch(r"people get codes beyond the caps until .*: \+1415555\n", done.stdout)
        for text in (shown.stdout, status.stdout):
            assert re.search(r"lifted for \+1415555 until .*; to end that: ringproof limits reset", text)
        assert "alice  limits set  --over-cap +14155… for 60 min" in audited.stdout
        assert "caps lifted" not in after.stdout
        assert "--over-cap +1415555 until" in after.stdout

    def test_can_be_shown_as_json(self):
        self.run("pause", "--reason", "why")
        status = json.loads(self.run("status", "--json").stdout)

        assert (status["rate"], status["pauses"][0]["why"], status["queues"]["bulk"]) == ("300/5s", "why", 0)
        assert json.loads(self.run("limits", "show", "--json").stdout)["usual"]["call_rate"] == "2/1s"

    @pytest.mark.parametrize(
        ("arguments", "hint"),
        [
            (["limits", "set", "RATE=0/5s", "--for", "1h"], "such as 300/5s"),
            (["limits", "set", "RATE=nan/5s", "--for", "1h"], "such as 300/5s"),
            (["limits", "set", "RATE=-1/5s", "--for", "1h"], "such as 300/5s"),
            (["limits", "set", "PACE=1/5s", "--for", "1h"], "write RATE=240/5s, or CALL_RATE=1/1s"),
            (["limits", "set", "240/5s", "--for", "1h"], "write RATE=240/5s"),
            (["limits", "set", "RATE=240/5s"], "Missing option '--for'"),
            (["limits", "set", "RATE=240/5s", "--for", "0h"], "90s, 30m, 1h or 2d"),
            (["limits", "set", "RATE=240/5s", "--for", "1y"], "90s, 30m, 1h or 2d"),
            (["limits", "set", "RATE=240/5s", "--for", "31d"], "up to 30d"),
            (["limits", "set", "--for", "1h"], "Name a limit, such as RATE=240/5s, or a block"),
            (["limits", "set", "--over-cap", "+1415555"], "Missing option '--for'"),
            (["limits", "set", "--over-cap", "+141555", "--for", "1h"], "--over-cap: write how the numbers begin"),
            (["pause", "--lane", "fast"], "interactive"),
        ],
    )
    def test_answers_a_wrong_argument_with_the_right_notation_and_exit_code_2(self, arguments, hint):
        done = self.run(*arguments)

        assert (done.returncode, done.stdout) == (2, "")
        assert hint in done.stderr


@pytest.mark.usefixtures("worker")
def test_health_exits_with_0_only_if_a_worker_takes_messages(run, idle):
    good, bad = run("health", "--json"), run("health", **idle)

    assert lines(good.stdout)[0]["redis"] is True
    assert lines(good.stdout)[0]["workers"]
    assert bad.returncode == 1
    assert "ringproof worker -P threads -c 16 -B" in bad.stdout


def test_health_lets_nobody_restart_a_container_because_redis_is_away_or_full(run, idle):
    absent = {"RINGPROOF_REDIS_URL": ABSENT}
    away, own, machine = run("health", "--live", **absent), run("health", "--self", **absent), ("--live", "--json")
    silent = run("health", "--live", **idle)
    with ledger_of(idle) as ledger:
        ledger.client.config_set("maxmemory", 1)
        full, own_of_full = run("health", "--live", **idle), run("health", "--self", **idle)
        ledger.client.config_set("maxmemory", 0)

    assert (away.returncode, own.returncode) == (0, 1)
    assert "a restart of this container would not help" in away.stdout
    assert lines(run("health", *machine, **absent).stdout)[0]["redis"] is False
    assert silent.returncode == 1
    assert "no worker and no beat of" in silent.stdout
    assert (full.returncode, own_of_full.returncode) == (0, 1)
    assert "Redis is full" in full.stdout


@pytest.mark.parametrize("arguments", [("initiate", "+14155550123"), ("status", "+14155550123"), ("health",)])
def test_a_command_without_redis_prints_one_clear_line_at_once(environ, tmp_path, arguments):
    with started(environ | {"RINGPROOF_REDIS_URL": ABSENT}, tmp_path, *arguments) as process:
        began = time.monotonic()
        output, errors = process.communicate(timeout=60)

    assert (process.returncode, output) == (1, "")
    assert len(errors.splitlines()) == 1
    assert errors.startswith("error: Redis at redis://127.0.0.1:1/0")
    assert time.monotonic() - began < 20  # an interpreter's start included, on a busy machine


def test_the_environment_wins_over_the_folders_env_file(run, tmp_path, environ):
    (tmp_path / ".env").write_text(f"RINGPROOF_REDIS_URL={ABSENT}\nRINGPROOF_REGION=US\nHOME=/nowhere\n")

    wins = run("status", "4155550199")
    fills = run("status", "4155550199", RINGPROOF_REDIS_URL=environ["RINGPROOF_REDIS_URL"], RINGPROOF_REGION="GB")

    assert "is unknown here" in wins.stdout
    assert wins.stderr == f"from {tmp_path / '.env'}: RINGPROOF_REGION\n", "the file, and what was taken from it"
    assert "no such number" in fills.stderr
    assert "from " not in fills.stderr


def test_each_variable_that_is_no_setting_is_named_once_and_without_its_value(run, tmp_path):
    (tmp_path / ".env").write_text("RINGPROOF_REGOIN=US\nRINGPROOF_WEBHOOK_SECRET=whsec_hunter2\nREGOIN=US\n")

    done = run("status", "--json", RINGPROOF_COUNTRYS="DE", RINGPROOF_REGOIN="", RINGPROOF_X="hunter2", **{"A\nB": "1"})

    assert json.loads(done.stdout)
    assert done.stderr.splitlines() == [
        "warning: RINGPROOF_COUNTRYS is no setting; did you mean RINGPROOF_COUNTRIES?",
        "warning: RINGPROOF_REGOIN is no setting; did you mean RINGPROOF_REGION?",
        "warning: RINGPROOF_WEBHOOK_SECRET is no setting; did you mean RINGPROOF_WEBHOOK_SECRETS?",
        "warning: RINGPROOF_X is no setting; docs/guide/settings.md lists all settings",
    ]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (b"RINGPROOF_PREFIX='a b'\n", "RINGPROOF_PREFIX: "),
        (b"RINGPROOF_LOG_FORMAT=fast\n", "RINGPROOF_LOG_FORMAT: "),
        (b"RINGPROOF_REGION=\xff\n", ".env cannot be read"),
    ],
)
def test_a_mistake_in_the_env_file_is_named(run, tmp_path, text, hint):
    (tmp_path / ".env").write_bytes(text)

    done = run("status", "+14155550123")

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"error: {hint}")


@pytest.mark.parametrize(
    ("mode", "owner", "hint"),
    [
        (0o664, 0, "can be written by others, and was not read; chmod go-w .env"),
        (0o606, 0, "can be written by others"),
        (0o600, 12345, "belongs to another user, and was not read"),
    ],
)
def test_an_env_file_that_another_user_could_write_is_not_read(run, tmp_path, mode, owner, hint):
    file = tmp_path / ".env"
    file.write_text(f"RINGPROOF_REDIS_URL={ABSENT}\n")
    file.chmod(mode)
    if owner:
        if os.geteuid():
            pytest.skip("only root can give a file to another user")
        os.chown(file, owner, owner)

    done = run("status", "+14155550123")

    assert done.returncode == 1
    assert f"error: .env {hint}" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a link for another user")
def test_an_env_file_that_another_user_has_linked_is_not_read(run, tmp_path):
    mine = tmp_path / "access.log"
    mine.write_text("RINGPROOF_REGION=US\n")
    mine.chmod(0o600)
    (tmp_path / ".env").symlink_to(mine)
    assert "RINGPROOF_REGION" in run("status", "+14155550123").stderr, "a link of one's own is followed"
    os.lchown(tmp_path / ".env", 12345, 12345)

    done = run("status", "+14155550123")

    assert done.returncode == 1
    assert "error: .env belongs to another user, and was not read" in done.stderr


def test_an_env_file_that_is_a_pipe_does_not_hold_a_command_up(run, tmp_path):
    os.mkfifo(tmp_path / ".env")

    assert "error: .env is no ordinary file" in run("status", "+14155550123").stderr


def test_nothing_in_an_env_file_is_expanded(run, tmp_path):
    (tmp_path / ".env").write_text("RINGPROOF_REGION=${PLIVO_AUTH_TOKEN}\n")

    done = run("status", "+14155550123", PLIVO_AUTH_TOKEN="a-real-token")

    assert done.returncode == 1
    assert "error: RINGPROOF_REGION in .env: ${…} is not expanded" in done.stderr
    assert "a-real-token" not in done.stderr


def test_the_sandbox_serves_until_a_signal_ends_it(environ, tmp_path):
    with started(environ, tmp_path, "sandbox", "--port", "0") as process:
        first_line = process.stdout.readline()
        port = int(first_line.partition("127.0.0.1:")[2].partition("/")[0])
        socket.create_connection(("127.0.0.1", port)).close()
        process.send_signal(signal.SIGINT)
        process.wait(60)

    assert "export PLIVO_BASE_URL=" in first_line
    assert process.returncode == 0


def test_the_people_of_the_sandbox_enter_codes_as_the_options_say(environ, tmp_path):
    options = ("--port", "0", "--answers", "right=80,wrong=10,never=10", "--answer-after", "0.5-2")
    with started(environ, tmp_path, "sandbox", *options) as process:
        url = "http://" + process.stdout.readline().partition("http://")[2].partition(" ")[0]
        with requests.Session() as session:
            about = session.get(f"{url}sandbox/", timeout=60).json()
            answers = session.get(f"{url}sandbox/answers", timeout=60).json()

    assert about["people"] == {"right": 80, "wrong": 10, "never": 10, "after_seconds": [0.5, 2], "seed": 0}
    assert answers == {"answers": [], "next": 0, "waiting": 0}


@pytest.mark.usefixtures("worker", "plivo")
def test_lines_wrap_at_words_on_a_terminal_and_no_color_switches_colours_off(environ, tmp_path):
    number = fresh_number()
    colourful = at_a_terminal(environ, tmp_path, "initiate", number, "+441212340741")
    plain = at_a_terminal(environ | {"NO_COLOR": "1"}, tmp_path, "initiate", number, "+441212340741")

    assert "\x1b[32m" in colourful
    assert "\x1b[3" not in plain
    assert all(len(line) <= 80 for line in plain.splitlines())
    assert "a landline takes no text" in plain


def at_a_terminal(environ, cwd, *arguments):
    """Return what the command shows on a terminal of 80 columns."""
    mine, its = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "worker", *arguments],
        stdin=its,
        stdout=its,
        stderr=its,
        env=environ | {"TERM": "xterm-256color", "COLUMNS": "80"},
        cwd=cwd,
    )
    os.close(its)
    shown = b""
    with process, suppress(OSError):  # Linux raises this when the other side has closed
        while piece := os.read(mine, 4096):
            shown += piece
    os.close(mine)
    return shown.decode()


def test_a_poll_without_redis_does_not_end_the_command_and_says_why_once(capsys, monkeypatch):
    monkeypatch.setattr("worker.views.watcher.POLL_SECONDS", 0)
    with ledger_of({"RINGPROOF_REDIS_URL": ABSENT}) as ledger:
        watcher = RequestWatcher(ledger, ResultPrinter(prints_json=False, is_done_once_accepted=False))
        watcher.accept("+14155550123", "+14155550123/1")
        watcher.poll()
        watcher.poll()

    assert capsys.readouterr().err.count("Redis at") == 1
    assert not watcher.results.exits


def test_a_number_that_was_accepted_outlives_an_outage_of_redis(environ, tmp_path):
    number = fresh_number()
    with (
        RedisServer(appendfsync="always") as server,
        started(environ | {"RINGPROOF_REDIS_URL": server.url}, tmp_path, "initiate", number) as process,
    ):
        with ledger_of({"RINGPROOF_REDIS_URL": server.url}) as ledger:
            eventually(lambda: ledger.client.llen("ringproof.interactive"))
        server.kill()
        first_line = process.stderr.readline()
        server.restart()
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=60)

    assert first_line.startswith("Redis at")
    assert "1 accepted number goes on without this command" in rest
    assert process.returncode == 3
