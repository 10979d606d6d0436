"""`ringproof door`: credentials of the front door, made, listed and revoked by an operator."""

import json
import subprocess
import sys

import pytest


@pytest.fixture
def ringproof(run, idle):
    return lambda *arguments: run(*arguments, **idle)


def test_a_credential_is_shown_once_then_listed_and_revoked(ringproof):
    added = ringproof("door", "add", "web shop", "--scope", "verify,READ")
    auth_id, token = (line.split()[1] for line in added.stdout.splitlines())
    listed = ringproof("door", "ls")
    as_json = json.loads(ringproof("door", "ls", "--json").stdout)
    again = ringproof("door", "add", "web shop")
    revoked = [ringproof("door", "revoke", "web shop") for _ in range(2)]
    trail = ringproof("audit")

    assert added.returncode == 0
    assert "not shown again" in added.stderr
    assert auth_id in listed.stdout
    assert "read,verify" in listed.stdout
    assert as_json["scopes"] == ["read", "verify"]
    assert (again.returncode, "a credential has this name" in again.stderr) == (2, True)
    assert [done.returncode for done in revoked] == [0, 1]
    assert ringproof("door", "ls").stdout == ""
    assert "door revoke" in trail.stdout
    assert all(token not in done.stdout + done.stderr for done in (listed, again, *revoked, trail))


def test_a_scope_that_does_not_exist_is_refused_with_those_that_do(ringproof):
    done = ringproof("door", "add", "shop", "--scope", "verify,write")

    assert done.returncode == 2
    assert "verify,batch,read" in done.stderr


def test_a_program_gets_a_credential_as_json(ringproof):
    added = json.loads(ringproof("door", "add", "json", "--json").stdout)
    ringproof("door", "revoke", "json")

    assert added.keys() == {"name", "auth_id", "token", "scopes", "account"}
    assert added["scopes"] == ["batch", "read", "verify"]


def test_a_server_without_its_extra_names_it(idle, tmp_path):
    code = "import sys; sys.modules['starlette'] = None; from worker.cli import main; main(['serve', '--port', '0'])"
    done = subprocess.run(
        [sys.executable, "-c", code], env=idle, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 1
    assert 'pip install "./ringproof[web]"' in " ".join(done.stderr.split())
