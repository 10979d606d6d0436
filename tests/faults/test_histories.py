"""The promises hold in histories at random: users, operators, workers, Plivo and Redis' clock, in any order."""

import os

import pytest
from histories import play
from support.harness import LONG

HISTORIES = int(os.environ.get("HISTORIES") or (20_000 if LONG else 100))
AT_ONCE = 10


@pytest.mark.parametrize("first", range(0, HISTORIES, AT_ONCE))
def test_whatever_happens_the_promises_hold(client, first):
    for seed in range(first, first + AT_ONCE):
        with pytest.MonkeyPatch.context() as monkeypatch:
            play(client, monkeypatch, seed)
