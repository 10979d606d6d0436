"""No code is in the variables that a crash reporter records, and no number in an error or in the repr of a result."""

import json
import os
import pickle
import subprocess
import sys

import pytest
from celery import chain, chord, group
from celery.result import AsyncResult, GroupResult, ResultSet
from support.harness import ROOT, fresh_number
from support.leaks import leaks

from ringproof.celery.app import app
from ringproof.errors import LedgerUnavailable
from tasks import confirm_verification, initiate_verification

CODE = "73519264"

CONFIRM = """
import json, sys
from support.crash_reporter import reported
from ringproof import confirm_verification, initiate_verification

print(json.dumps([
    reported(lambda: confirm_verification.delay("+14155550123", sys.argv[1])),
    reported(lambda: confirm_verification.delay(phone_number="+14155550123", code=sys.argv[1])),
    reported(lambda: confirm_verification.apply_async(("+14155550123", sys.argv[1]))),
    reported(lambda: confirm_verification.delay("+14155550123", sys.argv[1] + "x")),
    reported(lambda: confirm_verification.delay("+1415555", sys.argv[1])),
    reported(lambda: initiate_verification.delay("+14155550123").get(timeout=1)),
]))
"""


def test_no_code_is_in_a_crash_report_when_redis_is_away(tmp_path):
    environ = os.environ | {
        "RINGPROOF_REDIS_URL": "redis://:pass-word@127.0.0.1:1/0",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}",
    }
    done = subprocess.run(
        [sys.executable, "-c", CONFIRM, CODE],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    reports = json.loads(done.stdout)

    assert [report[0].partition("://")[0] for report in reports[:3]] == ["Redis at redis"] * 3
    assert all(len(report) > 12 for report in reports), "the variables of several functions are in it"
    for report in reports:
        assert [text[:200] for text in report if leaks(CODE, text) or leaks("pass-word", text)] == []
        assert "+14155550123" not in report[0] + report[1] + report[2]


def test_an_error_of_many_commands_names_no_number(ledger):
    number = fresh_number()
    ledger.client.set(ledger.keys.record(number), "no record")
    with pytest.raises(LedgerUnavailable, match="WRONGTYPE") as refused:
        ledger.read_many([(number, None), (number, None)])
    ledger.client.delete(ledger.keys.record(number))

    assert refused.value.is_refusal
    assert number[1:] not in f"{refused.value} {refused.value!r} {refused.value.__cause__} {refused.value.__context__}"


def test_a_signature_prints_neither_the_number_nor_the_code():
    signature = confirm_verification.s("+14155550123", CODE)
    signatures = [signature, signature.clone(), pickle.loads(pickle.dumps(signature))]  # its own
    together = [group(signatures), chain(signature, signature), [signature], chord([signature], signature)]

    for shown in map(repr, [*signatures, *together]):
        assert "confirm_verification" in shown
        assert CODE not in shown
        assert "4155550123" not in shown


@pytest.mark.usefixtures("redis_server")
def test_celerys_own_results_print_masked():
    number = fresh_number()
    masked = f"+1•••••••{number[-2:]}"
    ours = initiate_verification.AsyncResult(f"{number}/1764374400")
    celerys = AsyncResult(f"{number}/1764374400", app=app)
    results = [ours, celerys, ResultSet([ours, celerys], app=app), GroupResult("a-group", [ours, celerys], app=app)]

    for result in results:
        for shown in (repr(result), f"{[result]}", repr({"result": result})):
            assert number[1:] not in shown
            assert f"{masked}/1764374400" in shown
    assert str(celerys) == f"{masked}/1764374400"
    assert celerys.id == f"{number}/1764374400"
    assert repr(AsyncResult("7d5c1f2e-8e0b-4a5b-9d0e-3c1a2b4c5d6e", app=app)).endswith(
        "7d5c1f2e-8e0b-4a5b-9d0e-3c1a2b4c5d6e>"
    )
