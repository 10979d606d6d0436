"""A request that was given up does not arrive later, although the network was away and comes back."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.network_away import NOT_ALLOWED

TESTS = Path(__file__).parents[1]
IN_CI = bool(os.environ.get("CI"))
ANSWER_SECONDS = 1.0


def without_network(what):
    """Begin to send a request in a network that goes away; return what came of it when the network was back."""
    script = TESTS / "support" / "network_away.py"
    path = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    ran = subprocess.run(
        [sys.executable, str(script), str(ANSWER_SECONDS), what],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if ran.returncode == NOT_ALLOWED and not IN_CI:
        pytest.skip(f"no network of its own: {ran.stdout.strip()}")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return json.loads(ran.stdout)


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has network namespaces")


def test_a_request_without_an_answer_does_not_arrive_when_the_network_is_back():
    report = without_network("given_up")

    assert report["outcome"] == "Unknown"
    assert report["seconds until nothing waits"] < 0.5
    assert (report["the next one"], report["requests"]) == ("Sent", 1)


def test_nor_does_the_request_of_a_killed_process():
    report = without_network("killed")

    assert report["seconds until nothing waits"] < 0.5
    assert (report["the next one"], report["requests"]) == ("Sent", 1)


def test_nor_does_the_request_of_a_frozen_process_after_the_limit_of_an_answer():
    report = without_network("frozen")

    assert report["seconds until nothing waits"] < ANSWER_SECONDS + 5  # the system looks at each repetition only
    assert (report["the next one"], report["requests"]) == ("Sent", 1)
