"""Redis' clock is set amid bulk and people: real workers go on within a window, nothing fails, no code is doubled."""

import itertools
import secrets

import pytest
from support.harness import eventually
from support.number_in_ledger import JUMPING_CLOCK
from test_pace_fails import feed, sent, too_close
from world import World

from ringproof.clock import boot_clock
from ringproof.ledger.acceptance import Disposition
from ringproof.ledger.record import Lane, State

JUMPS_SECONDS = [3600, -3600, 20, -20]
WITHIN_SECONDS = 4.0  # one window of a second after the last slot that was booked; the rest is for a busy machine


@pytest.fixture
def world(tmp_path):
    with World(tmp_path, clock=JUMPING_CLOCK, RINGPROOF_RATE="60/1s") as world:
        world.plivo.switch(latency_ms=[0, 50])
        yield world


def people(world, until):
    """Have a person ask ten times a second, a sixth of the pace, until something is true."""
    began, asked = boot_clock(), 0

    def look():
        nonlocal asked
        if boot_clock() > began + asked / 10:
            world.enqueue(1, Lane.INTERACTIVE)
            asked += 1
        return until()

    eventually(look, within=60)


@pytest.mark.timeout(300)
def test_real_workers_go_on_within_a_window_and_no_code_is_doubled(world):
    world.start("-Q", "ringproof.ticks,ringproof.interactive", children=6, name="people")
    world.start("-Q", "ringproof.bulk", children=2, name="bulk")
    feed(world, 180)
    people(world, lambda: sent(world) > 20)
    first_jump = boot_clock()
    for by in JUMPS_SECONDS:
        before = sent(world)
        world.client.incrbyfloat("test:ahead", by)
        people(world, lambda before=before: sent(world) > before + 30)
    world.until_settled(within=120)
    again = {world.ledger.accept(number, token=secrets.token_hex(4)).disposition for number in world.accepted}

    at = [moment for moment in world.first_bytes() if moment > first_jump]
    assert set(world.states()) == {State.CODE_SENT}
    assert again == {Disposition.RETURNED}
    assert sent(world) == len(world.accepted)
    assert max(later - earlier for earlier, later in itertools.pairwise(at)) < WITHIN_SECONDS
    assert not too_close(world)
