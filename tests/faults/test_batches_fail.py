"""Batches with real processes that are killed: every row is there once, and a page is taken whole or not at all."""

import sys
from pathlib import Path

import pytest
from batches_of import agrees, import_rows
from support.harness import Process, eventually, fresh_number
from world import World

from ringproof.batches import feeding
from ringproof.batches.model import BatchState
from ringproof.batches.summary import batch_summary
from ringproof.errors import LedgerUnavailable
from ringproof.ledger.record import State

IMPORTER = str(Path(__file__).with_name("importer.py"))


def importing(world, file, nth, seconds=0.0, stands_at=0):
    """An import that goes no further than to so many rows until there is `go` in the world's folder."""
    options = [str(seconds), str(stands_at), str(world.folder / "go")]
    command = [sys.executable, IMPORTER, str(file), "spring", *options]
    process = Process(command, world.folder / f"import-{nth}.log", world.environ(), world.folder)
    world.callback(process.kill)
    return process


def test_an_import_that_is_killed_five_times_has_every_row_once(tmp_path):
    with World(tmp_path) as world:
        numbers = [f"+1415{3_000_000 + nth}" for nth in range(20_000)]
        file = tmp_path / "spring.csv"
        file.write_text("\n".join(["phone", *numbers]))
        key = world.ledger.keys.batch("spring").lists[0]
        for nth in range(5):
            wanted = 3000 * (nth + 1)
            process = importing(world, file, nth, 0.05, wanted + 3000)
            eventually(lambda wanted=wanted: world.client.llen(key) >= wanted, within=60)
            process.kill()
            assert batch_summary(world.ledger, "spring").state is BatchState.IMPORTING
            assert world.client.llen(key) < 20_000
        importing(world, file, 5).until_logged("imported 20000", within=60)

        assert world.client.lrange(key, 0, -1) == [f"US{number}" for number in numbers]
        found = agrees(world, "spring")
        assert (found.state, found.rows, found.unfinished) == (BatchState.RUNNING, 20_000, 20_000)
        assert found.countries == {"US": {"rows": 20_000}}


def test_one_of_two_imports_of_a_batch_goes_on(tmp_path):
    with World(tmp_path) as world:
        file = tmp_path / "spring.csv"
        file.write_text("\n".join(["phone", *(f"+1415{3_000_000 + nth}" for nth in range(8000))]))
        both = [importing(world, file, nth, stands_at=4000) for nth in range(2)]
        eventually(lambda: any(process.popen.poll() is not None for process in both), within=60)
        (tmp_path / "go").touch()
        eventually(lambda: all(process.popen.poll() is not None for process in both), within=60)

        assert sorted(process.popen.returncode for process in both) == [0, 1]
        assert sum("BatchBusy" in process.log for process in both) == 1
        assert agrees(world, "spring").rows == 8000


def test_a_redis_that_is_out_of_memory_takes_a_page_of_a_batch_or_none_of_it(tmp_path):
    with World(tmp_path) as world:
        import_rows(world, "spring", [fresh_number() for _ in range(50)])
        known = world.ledger.accept("+14155550100", token="known", country="US")
        world.ledger.cancel("+14155550100", known.request)
        (batch,) = feeding.batches_to_feed(world.ledger)
        portion = feeding.next_page(world.ledger, batch, "sms", 50)
        before = agrees(world, "spring")
        world.client.config_set("maxmemory", 1)
        try:
            with pytest.raises(LedgerUnavailable) as refused:
                feeding.feed_page(world.ledger, batch, "sms", portion, {})
        finally:
            world.client.config_set("maxmemory", 0)

        assert refused.value.is_refusal
        assert agrees(world, "spring") == before
        assert len(feeding.feed_page(world.ledger, batch, "sms", portion, {})) == 50
        assert world.client.zcard(world.ledger.keys.agenda) == 50
        assert {record.state for record in world.records().values()} == {State.QUEUED}
