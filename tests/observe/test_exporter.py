"""The exporter: what a real worker does is counted once, labels have few values, and Redis may be away."""

import json
import re
import signal
import socket

import pytest
import redis
from support.harness import eventually, fresh_number, started
from support.number_in_ledger import SENT, Book
from support.roster_of_batch import import_rows
from support.scrape import scrape, scrape_at

from ringproof.ledger.answers import Outcome
from ringproof.ledger.connection import connect
from ringproof.ledger.control import pause
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.pauses import PAUSE_KINDS
from ringproof.ledger.record import Lane, State
from ringproof.ledger.row_outcomes import OUTCOMES
from tasks import confirm_verification, initiate_verification
from worker.local.processes.redis_server import RedisServer
from worker.observe.finding import Code, Severity
from worker.observe.metric import METRICS, MOST_BATCHES

OF_SMS = {"country": "US", "channel": "sms", "lane": "interactive"}


@pytest.fixture
def book(client):
    return Book(client)


def test_what_a_worker_does_is_counted_once_and_for_good(worker, plivo, ledger):
    before = scrape(ledger)
    number = fresh_number()
    initiate_verification.delay(number).get(timeout=60)
    initiate_verification.delay(number).get(timeout=60)
    code = plivo.sends(number)[-1]["code"]
    confirm_verification.delay(number, code).get(timeout=60)
    after = scrape(ledger)

    def grown(name, **labels):
        return (after.value(name, **labels) or 0) - (before.value(name, **labels) or 0)

    assert grown("ringproof_accepted_total", **OF_SMS) == 1
    assert grown("ringproof_outcomes_total", state="code_sent", reason="-", **OF_SMS) == 1
    assert grown("ringproof_outcomes_total", state="verified", **OF_SMS) == 1
    assert grown("ringproof_codes_entered_total", **OF_SMS) == 1
    assert grown("ringproof_slots_total", user="interactive", channel="sms") == 1
    assert grown("ringproof_slots_total", user="question", channel="sms") >= 1
    assert scrape(ledger).value("ringproof_accepted_total") == after.value("ringproof_accepted_total")


def test_a_worker_adds_how_long_things_took_within_seconds(worker, plivo, ledger):
    before = scrape(ledger).value("ringproof_slot_wait_seconds_count", lane="interactive") or 0
    initiate_verification.delay(fresh_number()).get(timeout=60)

    eventually(lambda: (scrape(ledger).value("ringproof_slot_wait_seconds_count", lane="interactive") or 0) > before)
    assert scrape(ledger).value("ringproof_plivo_seconds_count", request="send", result="taken")
    assert scrape(ledger).value("ringproof_heartbeat_age_seconds", kind="worker") is not None


def test_it_says_all_that_it_has_a_name_for(book):
    book.bring(SENT, country="US")

    families = set(re.findall(r"^# TYPE (\S+) ", scrape(book.ledger).text, re.MULTILINE))
    assert families == {metric.name for metric in METRICS}


def test_labels_have_few_values(book):
    for nth in range(MOST_BATCHES + 2):
        import_rows(book.ledger, f"batch {nth}", [fresh_number(), fresh_number()])
    book.bring(Outcome(State.IN_DOUBT), country="US")
    junk = {"at": 10**13, "host": "h" * 5000, "pid": "x", "version": "\x1b[2J"}
    book.client.hset(book.keys.heartbeats, "w" * 5000 + "\n", json.dumps(junk))
    book.client.hset(book.keys.metrics, "accepted US sms bulk\n", 1)
    pause(book.ledger, Lane.BULK)
    found = scrape(book.ledger)

    assert found.labels("ringproof_accepted_total") == [OF_SMS]
    assert len({one["batch"] for one in found.labels("ringproof_batch_rows")}) == MOST_BATCHES
    assert {one["outcome"] for one in found.labels("ringproof_batch_rows")} <= set(OUTCOMES.values())
    assert found.value("ringproof_batches", state="running") == MOST_BATCHES + 2
    assert found.value("ringproof_in_doubt") == 1
    assert found.value("ringproof_paused", kind="operator", lane="bulk") == 1
    assert {one["kind"] for one in found.labels("ringproof_paused")} == {"operator", *PAUSE_KINDS}
    assert max(len(value) for _, labels in found for _, value in labels) <= 200
    assert "\x1b" not in found.text


def test_each_finding_is_there_also_while_nothing_is_wrong(book):
    found = scrape(book.ledger)

    assert len(found.labels("ringproof_finding")) == len(Code) * len(Severity)
    assert 1 in {found.value("ringproof_finding", code=code) for code in ("no_worker", "other_prefix")}
    assert found.value("ringproof_finding", code="redis_full") == 0


def test_a_redis_that_is_away_is_a_metric(tmp_path):
    with RedisServer() as server:
        ledger = Ledger(connect(server.url))
        assert scrape(ledger).value("ringproof_redis_up") == 1
    found = scrape(ledger)

    assert found.value("ringproof_redis_up") == 0
    assert found.value("ringproof_finding", code="redis_away", severity="stopped") == 1
    assert found.value("ringproof_open_numbers") is None


@pytest.mark.parametrize(
    ("setting", "value", "code"),
    [("maxmemory", "1mb", "redis_full"), ("min-replicas-to-write", "3", "redis_read_only")],
)
def test_a_redis_that_takes_no_writes_can_be_read(setting, value, code):
    with RedisServer(has_config=True) as server, redis.Redis.from_url(server.url, decode_responses=True) as client:
        book = Book(client)
        book.bring(SENT, country="US")
        import_rows(book.ledger, "spring", [fresh_number()])
        client.config_set(setting, value)
        found = scrape(book.ledger)

    assert found.value("ringproof_redis_up") == 1
    assert found.value("ringproof_finding", code=code, severity="stopped") == 1
    assert found.value("ringproof_accepted_total", **OF_SMS) == 1
    assert found.value("ringproof_batch_rows", batch="spring", outcome="pending") == 1


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_the_command_answers_on_this_machine_until_it_is_ended(environ, tmp_path, end):
    with started(environ, tmp_path, "metrics", "--port", "0") as process:
        url = process.stdout.readline().split()[-1]
        found = scrape_at(url)
        process.send_signal(end)
        _, errors = process.communicate(timeout=60)

    assert url.startswith("http://127.0.0.1:")
    assert found.value("ringproof_redis_up") == 1
    assert (process.returncode, errors) == (0, "")


def test_a_port_that_is_taken_is_named(run):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("metrics", "--port", str(port))

    assert done.returncode == 1
    assert f"127.0.0.1:{port}" in done.stderr
    assert "--port" in done.stderr


def test_without_its_library_the_command_says_what_to_install(environ, tmp_path):
    program = "import sys; sys.modules['prometheus_client'] = None; from worker.cli import main; main()"
    with started(environ, tmp_path, "metrics", program=("-c", program)) as process:
        _, errors = process.communicate(timeout=60)

    assert process.returncode == 1
    assert 'pip install "./ringproof[observe]"' in " ".join(errors.split())
