"""`ringproof confirm`, `remove` and `erase` on a terminal and in a script."""

import json
import os
import pty
import subprocess
import sys

import pytest
from click.testing import CliRunner
from support.harness import eventually, fresh_number
from support.leaks import leaks

from ringproof.clock import iso
from ringproof.ledger.record import State
from ringproof.phone.masking import mask
from tasks import initiate_verification
from worker import cli
from worker.cli import number as number_commands


@pytest.fixture
def number(plivo, worker):
    """A number that got a code."""
    number = fresh_number()
    initiate_verification.delay(number).get(timeout=60)
    return number


def code_of(plivo, number):
    return plivo.sends(number)[-1]["code"]


def wrong_of(plivo, number):
    code = code_of(plivo, number)
    return f"{(int(code) + 1) % 10 ** len(code):0{len(code)}d}"


def test_a_code_on_standard_input_verifies_the_number(run, plivo, ledger, number):
    wrong = run("confirm", number, stdin=wrong_of(plivo, number))
    right = run("confirm", "--json", number, stdin=code_of(plivo, number) + "\n")

    assert (wrong.returncode, right.returncode) == (1, 0)
    assert wrong.stdout.startswith(f"not confirmed {mask(number)}: ")
    assert "tries left: 4" in wrong.stdout
    assert json.loads(right.stdout)["state"] == "verified"
    assert ledger.read(number).state is State.VERIFIED


def test_a_refused_code_is_an_object_of_json(run, plivo, number):
    wrong = run("confirm", "--json", number, stdin=wrong_of(plivo, number))
    nothing = run("confirm", "--json", fresh_number(), stdin="1234")

    refused = [json.loads(done.stdout) for done in (wrong, nothing)]
    assert [(one["error"], one.get("tries_left"), one.get("state")) for one in refused] == [
        ("WrongCode", 4, None),
        ("NothingPending", None, ""),
    ]


def test_confirm_asks_on_a_terminal_without_showing_the_code(environ, tmp_path, plivo, number):
    code = code_of(plivo, number)
    ours, its = pty.openpty()
    command = [sys.executable, "-m", "worker", "confirm", number]
    with subprocess.Popen(
        command, stdin=its, stdout=its, stderr=its, env=environ, cwd=tmp_path, start_new_session=True
    ) as process:
        os.close(its)
        shown = b""

        def has_asked():
            nonlocal shown
            shown += os.read(ours, 1000)
            return b"Code" in shown

        eventually(has_asked)
        os.write(ours, f"{code}\n".encode())
        while True:
            try:
                shown += os.read(ours, 1000)
            except OSError:  # it has ended
                break
        process.wait(60)
    os.close(ours)

    assert process.returncode == 0, shown
    assert b"is verified" in shown
    assert not leaks(code, shown.decode(errors="replace"))


@pytest.mark.parametrize(
    "pasted",
    [
        "48-29-13\n",
        " 482 913 ",
        "\n\r\n482913\n",
        "\ufeff482\u00a0913\r\n",
        "\u202a\u0664\u0668\u0662\u0669\u0661\u0663\u202c\n",
        "４８２９１３",
    ],
    ids=ascii,
)
def test_confirm_reads_a_code_as_a_person_pastes_it(monkeypatch, pasted):
    entered = []
    monkeypatch.setattr(
        number_commands.confirm_verification, "delay", lambda *args, **_: entered.append(args) or Verified()
    )
    done = CliRunner().invoke(cli.main, ["confirm", "+14155550123"], input=pasted.encode())

    assert done.exit_code == 0, done.stderr
    assert [(number, code.get_secret_value()) for number, code in entered] == [("+14155550123", "482913")]


@pytest.mark.parametrize(
    "code",
    [
        "",
        "\n \n",
        "12",
        "123456789",
        "abcd",
        "48x29",
        "\u202e4829",
        "\u2460\u2461\u2462\u2463",
        b"48\xff29",
        b"\x804829",
    ],
    ids=ascii,
)
def test_a_text_that_cannot_be_a_code_is_a_wrong_usage_and_is_not_shown(code):
    done = CliRunner().invoke(cli.main, ["confirm", "+14155550123"], input=code)

    assert done.exit_code == 2
    assert "a string of 4 to 8 digits" in done.stderr
    shown = code.decode("latin-1") if isinstance(code, bytes) else code
    assert not shown.strip() or shown not in done.stderr
    assert "48" not in done.stderr


def test_confirm_without_a_worker_exits_with_3_and_says_what_to_do(monkeypatch, client):
    monkeypatch.setattr(number_commands, "SECONDS", 0.2)
    monkeypatch.setattr(number_commands.confirm_verification, "delay", lambda *_, **__: WithoutWorker())
    done = CliRunner().invoke(cli.main, ["confirm", "+14155550123"], input="1234")

    assert done.exit_code == 3
    assert "It may have taken the code: enter it again" in done.stderr


def test_a_locked_number_shows_the_end_of_its_lock(run, publish, plivo, ledger, number):
    publish(max_wrong_codes=1)
    run("confirm", number, stdin=wrong_of(plivo, number))
    refused = run("confirm", "--json", number, stdin=code_of(plivo, number))
    answer, until = json.loads(refused.stdout), ledger.read(number).locked_until

    assert (refused.returncode, answer["error"], answer["until"]) == (1, "Locked", iso(until))
    assert "(wrong codes: 1)" in run("status", number).stdout
    assert json.loads(run("status", "--json", number).stdout)["locked_until"] == iso(until)


class Verified:
    def get(self, **_):
        return {"state": "verified"}


class WithoutWorker:
    def get(self, **_):
        raise number_commands.CeleryTimeoutError


def test_a_number_is_removed_at_plivo_and_here(run, plivo, ledger, number):
    plivo.complete(number)
    kept = run("remove", number, stdin="n\n")
    removed = run("remove", number, "--yes")
    again = run("remove", number, stdin="y\n")

    assert (kept.returncode, removed.returncode, again.returncode) == (1, 0, 1)
    assert removed.stdout == f"{mask(number)}: removed at Plivo, erased here\n"
    assert again.stdout.endswith("not verified at Plivo, unknown here\n")
    assert ledger.read(number) is None
    assert number not in kept.stderr + removed.stderr


def test_a_number_that_plivo_does_not_remove_stays_here(run, plivo, ledger, number):
    plivo.befall("500_before", operation="delete", times=1)
    done = run("remove", number, "--yes")

    assert done.returncode == 1
    assert "500" in done.stderr
    assert ledger.read(number).state is State.CODE_SENT


def test_a_number_is_erased_here_and_stays_at_plivo(run, plivo, ledger, number):
    plivo.complete(number)
    kept = run("erase", number, stdin="n\n")
    assert ledger.read(number)
    erased = run("erase", number, stdin="y\n")
    again = run("erase", number, "--yes")

    assert (kept.returncode, erased.returncode, again.returncode) == (1, 0, 1)
    assert erased.stdout == f"{mask(number)} is erased\n"
    assert ledger.read(number) is None
    assert initiate_verification.delay(number).get(timeout=60)["state"] == "expired", "no second code is live"
    assert len(plivo.sends(number)) == 1
