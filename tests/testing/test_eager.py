"""The eager mode beside an application: nothing leaves its process, and nothing of it stays behind."""

import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import celery._state
import pytest
from celery import Celery
from celery.exceptions import TimeoutError as CeleryTimeoutError
from click.testing import CliRunner

from ringproof import confirm_verification, initiate_verification, is_verified, runtime
from ringproof.celery.app import app
from ringproof.errors import CoolingDown, InvalidNumber, InvalidRequest, Misconfigured, UnknownAccount
from ringproof.plivo.transport import HttpTransport
from ringproof.secret_str import SecretStr
from ringproof.settings import Settings
from ringproof.testing import eager, eager_mode, sent_codes
from ringproof.testing.errors import NotEager
from worker import cli

ROOT = Path(__file__).parents[2]
NUMBER = "+14155550123"

LIVE = {
    "PLIVO_AUTH_ID": "MAXXXXXXXXXXXXXXXXXX",
    "PLIVO_AUTH_TOKEN": "a-token-of-a-live-account",
    "PLIVO_BASE_URL": "",
    "RINGPROOF_REDIS_URL": "redis://redis.example.com:6379/0",
    "RINGPROOF_WEBHOOK_URL": "https://example.com/hook",
    "RINGPROOF_WEBHOOK_SECRETS": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
}
"""What a careless developer has in the environment of the tests."""

NO_SOCKETS = """
import socket, sys

def refuse(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.sendmsg"):
        print("REACHED", event, args[1:], flush=True)
        raise AssertionError(event)

sys.addaudithook(refuse)
"""


def run(program, folder, **environ):
    """Run a program as a process of its own; return what it prints."""
    usual = {name: value for name, value in os.environ.items() if name not in Settings.variables()}
    usual.pop("PYTEST_CURRENT_TEST", None)
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", textwrap.dedent(program)],
        cwd=folder,
        env=usual | {"PYTHONPATH": str(ROOT)} | environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_code_is_in_the_list_and_verifies_its_number():
    with eager() as sent:
        verification = initiate_verification.delay(NUMBER, alias="Front desk", channel="call")

        assert (sent[0].phone_number, sent[0].channel, sent[0].alias) == (NUMBER, "call", "Front desk")
        assert verification.get()["verification_uuid"] == sent[0].verification_uuid

        confirm_verification.delay(NUMBER, sent[-1].code, request=verification.id).get()

        assert is_verified(NUMBER)
        assert verification.state == "SUCCESS"


def test_a_list_of_codes_shows_no_number_and_no_code():
    with eager() as sent:
        initiate_verification.delay(NUMBER)
        shown = f"{sent} {sent!r} {sent[0]} {sent[0]!r} {sent[:]} {sent.to(NUMBER)}"

        assert "+1•••••••23 sms" in shown
        assert not {NUMBER, sent[0].code} & set(shown.replace("'", " ").split())
        assert NUMBER not in shown
        assert sent[0].code not in shown.replace(sent[0].verification_uuid, "").replace(str(sent[0].at), "")


def test_each_block_begins_with_nothing_and_leaves_nothing(ledger):
    before = runtime.origin, runtime.role, app.is_service, dict(os.environ)
    for _ in range(2):
        with eager() as sent:
            assert not sent
            initiate_verification.delay(NUMBER).get()
            assert len(sent) == 1
            with eager() as inner:
                assert initiate_verification.AsyncResult(NUMBER).state == "PENDING"
                initiate_verification.delay(NUMBER)
            assert (len(sent), len(inner)) == (1, 1)

    assert (runtime.origin, runtime.role, app.is_service, dict(os.environ)) == before
    assert runtime.ledger() is ledger
    assert ledger.read(NUMBER) is None


def test_blocks_that_overlap_leave_nothing_behind():
    environ, first, second = dict(os.environ), eager(), eager()
    first.__enter__()
    sent = second.__enter__()
    first.__exit__(None, None, None)

    initiate_verification.delay(NUMBER)
    assert len(sent) == 1, "the block that began later goes on"
    second.__exit__(None, None, None)
    assert runtime.origin is None
    assert dict(os.environ) == environ
    with pytest.raises(NotEager):
        sent_codes()


def test_the_settings_of_the_environment_apply_except_those_that_lead_elsewhere(monkeypatch):
    monkeypatch.setenv("RINGPROOF_COUNTRIES", "GB")
    monkeypatch.setenv("RINGPROOF_RESEND_COOLDOWN_SECONDS", "0")
    monkeypatch.setenv("RINGPROOF_REGION", "GB")
    for name, value in LIVE.items():
        monkeypatch.setenv(name, value)

    with eager() as sent:
        assert runtime.settings().webhook_url is None
        with pytest.raises(InvalidNumber, match="country"):
            initiate_verification.delay(NUMBER)
        for _ in range(2):
            initiate_verification.delay("07400 123456", resend=True)
        assert [one.phone_number for one in sent] == ["+447400123456"] * 2


def test_accounts_have_ledgers_of_their_own(monkeypatch, tmp_path):
    accounts = tmp_path / "accounts.toml"
    accounts.write_text(f'[acme]\nauth_id = "{LIVE["PLIVO_AUTH_ID"]}"\nauth_token = "{LIVE["PLIVO_AUTH_TOKEN"]}"\n')
    accounts.chmod(0o600)
    monkeypatch.setenv("RINGPROOF_ACCOUNTS", str(accounts))

    with eager() as sent:
        verification = initiate_verification.delay(NUMBER, account="acme")
        confirm_verification.delay(NUMBER, sent[-1].code, request=verification.id).get()

        assert is_verified(NUMBER, account="acme")
        assert not is_verified(NUMBER)
        with pytest.raises(UnknownAccount):
            initiate_verification.delay(NUMBER, account="nobody")


def test_no_way_to_plivo_is_made(monkeypatch):
    """With the credentials of a live account in the environment, whatever is asked."""
    for name, value in LIVE.items():
        monkeypatch.setenv(name, value)
    made = []
    monkeypatch.setattr(HttpTransport, "__init__", lambda *_, **__: made.append(1))

    with eager() as sent:
        client = runtime.plivo()
        client.initiate(NUMBER)
        client.complete(sent[0].verification_uuid, SecretStr(sent[0].code))
        assert client.get(NUMBER)
        assert client.list().objects
        assert client.delete(NUMBER)
        client.probe()

    assert not made


def test_a_process_in_it_opens_no_socket(tmp_path):
    printed = run(
        NO_SOCKETS
        + """
from ringproof import confirm_verification, initiate_verification, is_verified
from ringproof.errors import WrongCode
from ringproof.testing import sent_codes

verification = initiate_verification.delay("+14155550123")
sent = sent_codes()
try:
    confirm_verification.delay("+14155550123", "0000", request=verification.id).get(timeout=5)
except WrongCode:
    print("wrong")
sent.misfortune("500_after", operation="complete")
confirm_verification.delay("+14155550123", sent[0].code, request=verification.id).get(timeout=5)
sent.misfortune("timeout_after")
initiate_verification.delay("+14155550124")
sent.travel(days=2)
initiate_verification.apply_async(("+14155550125",), queue="ringproof.bulk")
print(is_verified("+14155550123"), len(sent))
""",
        tmp_path,
        RINGPROOF_TEST="eager",
        **LIVE,
    )

    assert printed.split("\n")[:2] == ["wrong", "True 3"]
    assert "REACHED" not in printed


def test_a_program_with_modules_tasks_and_worker_keeps_them(tmp_path):
    (tmp_path / "worker.py").write_text("MINE = 'the worker of the program'\n")
    (tmp_path / "tasks.py").write_text(
        "from celery import Celery, shared_task\n"
        "from ringproof import initiate_verification\n"
        "app = Celery('theirs')\n"
        "app.conf.task_always_eager = True\n"
        "@shared_task\n"
        "def sign_up(number):\n"
        "    return initiate_verification.delay(number).id\n"
    )

    printed = run(
        """
        import tasks
        from ringproof.testing import eager
        from ringproof import initiate_verification

        with eager() as sent:
            print(tasks.sign_up.delay("+14155550123").get().startswith("+14155550123/"), len(sent))
            initiate_verification.delay("+14155550124")
            sent.travel(minutes=20)
            print(initiate_verification.AsyncResult("+14155550124").info["state"])
        import worker
        print(worker.MINE, "|", tasks.app.main, "|", tasks.__file__.endswith("tasks.py"))
        """,
        tmp_path,
        PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}",
    )

    assert printed == "True 1\nexpired\nthe worker of the program | theirs | True\n"


def test_the_variable_begins_it_and_warns(caplog, monkeypatch):
    monkeypatch.setenv("RINGPROOF_TEST", "eager")
    monkeypatch.setattr(runtime, "origin", None)
    try:
        initiate_verification.delay(NUMBER).get()
        assert "no code is sent to a real phone" in caplog.text
        assert len(sent_codes()) == 1

        eager_mode.start_again()

        assert len(sent_codes()) == 0
        initiate_verification.delay(NUMBER).get()
    finally:
        eager_mode.end()


@pytest.mark.parametrize("value", ["yes", "eager,", "EAGERLY"])
def test_another_value_of_the_variable_is_an_error_that_names_it(monkeypatch, value):
    monkeypatch.setenv("RINGPROOF_TEST", value)
    monkeypatch.setattr(runtime, "origin", None)

    with pytest.raises(Misconfigured, match=r"RINGPROOF_TEST: eager: .*; or real: "):
        initiate_verification.delay(NUMBER)


def test_a_program_that_is_always_eager_sends_nothing_for_real_in_a_test(monkeypatch):
    """Its own Celery performs its tasks at once, in its tests: so nothing of Ringproof's leaves the process either."""
    theirs = Celery("theirs", set_as_current=False)
    monkeypatch.setattr(celery._state._tls, "current_app", theirs, raising=False)
    monkeypatch.setattr(runtime, "origin", None)
    try:
        assert runtime.current_origin() is None
        theirs.conf.task_always_eager = True
        monkeypatch.setenv("RINGPROOF_TEST", "real")
        assert runtime.current_origin() is None
        monkeypatch.delenv("RINGPROOF_TEST")

        initiate_verification.delay(NUMBER)

        assert len(sent_codes()) == 1
    finally:
        eager_mode.end()


def test_outside_it_there_are_no_codes():
    with pytest.raises(NotEager, match=r"with ringproof\.testing\.eager"):
        sent_codes()


def test_a_number_that_waits_is_not_waited_for():
    with eager() as sent:
        sent.misfortune("503")
        verification = initiate_verification.delay(NUMBER)

        with pytest.raises(CeleryTimeoutError):
            verification.get()

        sent.travel(minutes=2)
        assert verification.get()["state"] == "code_sent"


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda sent: sent.travel(minutes=-1), "travel"),
        (lambda sent: sent.misfortune("earthquake"), "kind"),
        (lambda sent: sent.misfortune("refused"), "kind"),
        (lambda sent: sent.misfortune("503", times=0), "times"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(call, field):
    with eager() as sent, pytest.raises(InvalidRequest) as caught:
        call(sent)

    assert caught.value.field == field


def test_many_threads_use_one_world():
    with eager() as sent:
        threads = [
            threading.Thread(target=initiate_verification.delay, args=(f"+1415555{nth:04}",))
            for nth in range(1000, 1008)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert sorted(one.phone_number for one in sent) == [f"+1415555{nth:04}" for nth in range(1000, 1008)]


def test_a_resend_cools_down():
    with eager() as sent:
        initiate_verification.delay(NUMBER)
        with pytest.raises(CoolingDown):
            initiate_verification.delay(NUMBER, resend=True)
        sent.travel(seconds=61)
        initiate_verification.delay(NUMBER, resend=True)

        assert [one.phone_number for one in sent] == [NUMBER, NUMBER]


def test_a_test_asks_for_the_fixture(ringproof_eager):
    initiate_verification.delay(NUMBER)

    assert len(ringproof_eager) == 1


@pytest.mark.parametrize("part", ["Worker", "Beat"])
def test_a_worker_that_a_program_starts_in_it_is_refused(part, monkeypatch):
    monkeypatch.setattr(app, "is_service", True)

    with eager(), pytest.raises(Misconfigured, match="RINGPROOF_TEST: eager is for the tests of a program"):
        getattr(app, part)


@pytest.mark.parametrize("command", [["status"], ["worker"], ["initiate", NUMBER], ["beat"]])
def test_a_command_in_it_is_refused(command, monkeypatch):
    monkeypatch.setenv("RINGPROOF_TEST", "eager")
    monkeypatch.setattr(runtime, "origin", None)

    done = CliRunner().invoke(cli.main, command)

    assert done.exit_code == 1
    assert "RINGPROOF_TEST: eager is for the tests of a program; unset it for workers and commands" in " ".join(
        done.output.split()
    )
