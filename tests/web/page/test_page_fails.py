"""The live page while Redis is full or away: a person on call needs it then."""

import re

import pytest
from support.front_door import FrontDoor
from support.harness import eventually, ledger_of, stopped
from support.page import Visitor, texts

from ringproof.ledger.credentials import issue, revoke
from worker.local.processes.redis_server import RedisServer


@pytest.fixture
def own(environ, tmp_path):
    """A Redis of its own, a front door, and somebody's credential."""
    with RedisServer(has_config=True) as server:
        changed = environ | {"RINGPROOF_REDIS_URL": server.url}
        with ledger_of(changed) as ledger:
            person = issue(ledger, "on call")
            with stopped(FrontDoor(tmp_path / "log", changed, tmp_path, person)) as door, Visitor(door.url) as visitor:
                yield server, ledger, person, visitor


def test_somebody_gets_in_while_redis_is_full_and_reads_that_it_is(own):
    _, ledger, person, visitor = own
    visitor.get("/page/login")
    ledger.client.config_set("maxmemory", 1)
    page = visitor.log_in(person)
    refused = visitor.submit("/page/sending/pause")
    ledger.client.config_set("maxmemory", 0)
    visitor.submit("/page/logout")

    assert page.status_code == 200
    assert "Nothing is sent" in texts(page)
    assert re.search("(?i)redis is full|no memory|maxmemory", texts(page))
    assert refused.status_code == 503
    assert visitor.get("/", allow_redirects=False).status_code == 303


def test_an_open_page_says_that_redis_is_away_and_goes_on_when_it_is_back(own):
    server, _, person, visitor = own
    visitor.log_in(person)
    events = visitor.events("/page/live?view=overview")
    next(events)
    server.kill()
    away = next(parts["problem"] for name, parts in events if parts.get("problem"))
    page = visitor.get("/")
    server.restart()
    back = next(parts["problem"] for name, parts in events if "problem" in parts)
    eventually(lambda: visitor.get("/").status_code == 200)

    assert "Redis did not answer" in texts(away)
    assert page.status_code == 503
    assert "Redis did not answer" in texts(page)
    assert back == ""


def test_a_roster_that_finds_no_room_in_the_folder_for_temporary_files_is_refused_with_what_to_do(environ, tmp_path):
    changed = environ | {"TMPDIR": str(tmp_path / "tmp")}
    small, large = "phone\n+14155550123\n", "phone\n" + "+14155550123\n" * 100_000
    with ledger_of(changed) as ledger:
        person = issue(ledger, "importer")
        (tmp_path / "tmp").mkdir()
        with stopped(FrontDoor(tmp_path / "log", changed, tmp_path, person)) as door, Visitor(door.url) as visitor:
            visitor.log_in(person)
            accepted = visitor.upload(large)
            (tmp_path / "tmp").rmdir()
            refused, in_memory = visitor.upload(large), visitor.upload(small)
        revoke(ledger, "importer")

    assert (accepted.status_code, in_memory.status_code) == (200, 200)
    assert refused.status_code == 507
    assert "No such file or directory" in texts(refused)
    assert "give its /tmp room, or use ringproof import or the API" in texts(refused)
