"""Redis users with the rights of one role: real users of a real Redis, each doing all that its role does."""

import contextlib
import json
import os
import re
import secrets
import subprocess
import sys

import pytest
import redis
from support.command import Command
from support.harness import AUTH_ID, AUTH_TOKEN, Sandbox, Worker, fresh_number, stopped

from ringproof.errors import LedgerUnavailable
from ringproof.ledger import keys
from ringproof.ledger.acceptance import Disposition
from ringproof.ledger.answers import Settled
from ringproof.ledger.connection import connect
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.rights import (
    ONLY_WRITTEN_BY_PRODUCERS,
    READ_BY_PRODUCERS,
    WRITTEN_BY_PRODUCERS,
    commands_of,
    missing_rights,
    rights_of,
)
from ringproof.ledger.role import Role
from ringproof.policy import Policy, Rate
from ringproof.settings import Settings
from worker.local.processes.redis_server import RedisServer

PASSWORD = "of-a-user"
NUMBER = "+14155550199"


class Users:
    """A Redis with a user for each role, and users that a test makes. Redis notes what it refuses them."""

    def __init__(self, server):
        self._port = server.port
        self.admin = redis.Redis.from_url(server.url, decode_responses=True)
        self.knows_read_only = int(self.admin.info("server")["redis_version"].split(".")[0]) >= 7
        for role in Role:
            self.make(role, rights_of(role, "ringproof", 0).acl(is_read_only_known=self.knows_read_only))

    def make(self, name, rules):
        self.admin.execute_command("ACL", "SETUSER", str(name), "reset", "on", f">{PASSWORD}", *rules.split())

    def url(self, name):
        return f"redis://{name}:{PASSWORD}@127.0.0.1:{self._port}/0"

    def client(self, name):
        return connect(self.url(name))

    def refused(self):
        """Return what Redis has refused, and forget it. The name that redis-py gives its connection is not ours."""
        noted = [(one["username"], one["context"], one["object"]) for one in self.admin.acl_log()]
        self.admin.acl_log_reset()
        return [one for one in noted if one[2] not in {"client", "client|setinfo"}]

    def environ(self, name):
        return os.environ | {"RINGPROOF_REDIS_URL": self.url(name)}


@pytest.fixture(scope="module")
def users():
    with RedisServer(has_config=True) as server:
        made = Users(server)
        yield made
        made.admin.close()


@pytest.fixture
def producer(users):
    client = users.client(Role.PRODUCER)
    yield client
    client.close()


# All that a role does


@pytest.mark.parametrize("role", Role)
def test_a_user_with_the_rights_of_a_role_lacks_none_and_trying_them_changes_nothing(users, role):
    before = sorted(users.admin.keys())

    assert missing_rights(users.client(role), role, "ringproof") == ""
    assert sorted(users.admin.keys()) == before
    assert users.refused() == []


PRODUCER = """
import json, sys
from celery.exceptions import TimeoutError
from ringproof import confirm_verification, errors, initiate_verification, is_verified

def outcome(call, *arguments, **keywords):
    try:
        return str(call(*arguments, **keywords))
    except (TimeoutError, errors.RingproofError) as error:
        return type(error).__name__

number = sys.argv[1]
request = initiate_verification.delay(number, alias="Front desk", requester="a session")
print(json.dumps([
    request.state,
    outcome(request.get, timeout=0.1),
    outcome(initiate_verification.apply_async, (number,), {"resend": True}).count("•"),
    outcome(confirm_verification.delay(number, "1234").get, timeout=0.1),
    is_verified(number),
    outcome(initiate_verification.apply_async, (number,), queue="ringproof.bulk").count("•"),
    outcome(request.revoke),
    initiate_verification.AsyncResult(number).state,
]))
"""


def test_a_web_app_asks_confirms_reads_and_cancels_with_the_rights_of_a_producer(users):
    done = subprocess.run(
        [sys.executable, "-c", PRODUCER, NUMBER],
        env=users.environ(Role.PRODUCER),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.stderr == ""
    assert json.loads(done.stdout) == ["QUEUED", "TimeoutError", 7, "TimeoutError", False, 7, "settled", "REVOKED"]
    assert users.refused() == []


def test_a_web_app_asks_for_a_code_while_calls_hold_slots_of_the_pace(users, producer):
    """It may neither read these slots nor list anything. An accepted request takes none."""
    calls = Ledger(users.admin)
    calls.publish_policy(Policy(rate=Rate.parse("50/1s"), call_rate=Rate.parse("1/1s")))
    numbers = [f"+1415555017{digit}" for digit in range(3)]
    requests = [(number, calls.accept(number, token=number, channel="call").request) for number in numbers]
    calls.begin(requests)
    assert users.admin.zcard("ringproof:held")

    for channel in ("sms", "call"):
        accepted = Ledger(producer).accept(fresh_number(), token=secrets.token_hex(8), channel=channel)
        assert accepted.disposition is Disposition.ACCEPTED
    assert users.refused() == []


OPERATIONS = (
    ("status",),
    ("pause", "--reason", "a test"),
    ("resume",),
    ("limits", "set", "RATE=200/5s", "--for", "1h"),
    ("import", "roster.csv", "--batch", "people", "--yes"),
    ("batch", "show", "people", "--recount"),
    ("batch", "export", "people"),
    ("ls",),
    ("erase", "+14155550198", "--rewrite", "--yes"),
    ("health",),
)


def test_a_worker_and_the_command_do_all_they_do_with_their_rights(users, tmp_path):
    (tmp_path / "roster.csv").write_text("phone\n+14155550180\n+14155550181\n")
    environ = users.environ(Role.WORKER) | {"PLIVO_AUTH_ID": AUTH_ID, "PLIVO_AUTH_TOKEN": AUTH_TOKEN}
    with (
        stopped(Sandbox(tmp_path / "sandbox.log", environ, tmp_path)) as sandbox,
        stopped(
            Worker(
                tmp_path / "worker.log", environ | {"PLIVO_BASE_URL": sandbox.base_url}, tmp_path, "-B", "-E", "-c", "2"
            )
        ) as worker,
        Command() as command,
    ):
        sent = command.run(("initiate", NUMBER), environ=users.environ(Role.OPERATOR), cwd=tmp_path)
        for operation in OPERATIONS:
            done = command.run(operation, environ=users.environ(Role.OPERATOR), cwd=tmp_path)
            assert done.returncode in {0, 3}, (operation, done.stderr)

        assert "code_sent" in sent.stdout, sent.stderr
        assert users.refused() == []
        assert "NOPERM" not in worker.log


# What is missing


def test_a_worker_without_the_rights_to_celerys_keys_ends_with_one_line(tmp_path):
    """It accepted requests, looped, and sent nothing. Its URL names no user: so Redis takes it for `default`."""
    with RedisServer() as server:
        redis.Redis.from_url(server.url).execute_command("ACL", "SETUSER", "default", "resetkeys", "~ringproof*")
        done = subprocess.run(
            [sys.executable, "-m", "celery", "-A", "worker", "worker", "-c", "1"],
            env=os.environ
            | {
                "RINGPROOF_REDIS_URL": server.url,
                "PLIVO_AUTH_ID": AUTH_ID,
                "PLIVO_AUTH_TOKEN": AUTH_TOKEN,
            },
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("ringproof:")]
    assert "its user lacks rights of a worker" in line
    assert "ACL SETUSER default ~_kombu.binding.* ~celery-task-meta-* ~*.ringproof.control.pidbox*" in line
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("rules", "role"),
    [
        ("+@all", Role.WORKER),
        ("~* resetchannels +@all", Role.WORKER),
        ("~* resetchannels &/* &ringproof:* &celery-task-meta-* +@all", Role.WORKER),  # Celery subscribes to a pattern
        ("~* &* +@all -brpop -zadd", Role.WORKER),
        ("~ringproof:* &* +@all", Role.PRODUCER),
        ("~* &* +@all -script -hget", Role.PRODUCER),
        ("~ringproof* ~_kombu* &* +@all", Role.OPERATOR),
    ],
)
def test_the_line_that_an_error_shows_gives_all_that_is_missing(users, rules, role):
    users.make("some", rules)
    client = users.client("some")
    line = missing_rights(client, role, "ringproof")

    assert line.startswith("ACL SETUSER some ")
    users.admin.execute_command(*line.split())
    assert missing_rights(client, role, "ringproof") == ""


@pytest.mark.parametrize("rules", ["-@all", "~* &* +@all -multi", "~* &* +@all -command"])
def test_without_the_rights_to_try_nothing_is_tried(users, rules):
    users.make("blind", rules)
    before = users.admin.dbsize()

    assert missing_rights(users.client("blind"), Role.WORKER, "ringproof") == "ACL SETUSER blind +command +multi"
    assert users.admin.dbsize() == before


def test_a_request_is_refused_before_its_script_has_written_anything(users):
    users.make("half", rights_of(Role.PRODUCER, "ringproof", 0).acl(is_read_only_known=users.knows_read_only))
    users.admin.execute_command("ACL", "SETUSER", "half", "-hincrby")  # the last command of an accepted request
    half = Ledger(users.client("half"))

    with pytest.raises(LedgerUnavailable, match=r"rights of a producer\); give them .*: ACL SETUSER half \+hincrby"):
        half.accept("+14155550188", token="any")

    assert not users.admin.exists("ringproof:number:+14155550188")
    users.admin.execute_command("ACL", "SETUSER", "half", "+hincrby")
    assert half.accept("+14155550188", token="any")


def test_a_right_that_is_taken_away_later_is_named_too(users):
    users.make("later", rights_of(Role.PRODUCER, "ringproof", 0).acl(is_read_only_known=users.knows_read_only))
    ledger = Ledger(users.client("later"))
    ledger.accept("+14155550187", token="any")
    users.admin.execute_command("ACL", "SETUSER", "later", "-hgetall")

    with pytest.raises(LedgerUnavailable, match=r"ACL SETUSER later \+hgetall"):
        ledger.read("+14155550187")


# What a producer cannot do


@pytest.mark.parametrize(
    "command",
    [
        "FLUSHALL",
        "FLUSHDB",
        "KEYS *",
        "SCAN 0",
        "RANDOMKEY",
        "ZRANGE ringproof:agenda 0 -1",
        "ZRANGEBYSCORE ringproof:agenda -inf +inf",
        "ZSCAN ringproof:agenda 0",
        "LRANGE ringproof.bulk 0 -1",
        "BRPOP ringproof.interactive 1",
        "SORT ringproof:lapsed",
        "PSUBSCRIBE ringproof:number:*",
        "MONITOR",
        "CONFIG GET *",
        "ACL LIST",
        "CLIENT LIST",
        "DUMP ringproof:agenda",
        "COPY ringproof:agenda ringproof:number:x",
        "RENAME ringproof:policy ringproof:number:x",
        "GET another:key",
        "XADD ringproof:audit * a b",
        "HGETALL ringproof:audit",
    ],
)
def test_a_producer_cannot(users, producer, command):
    with pytest.raises(redis.exceptions.NoPermissionError):
        producer.execute_command(*command.split())
    users.admin.acl_log_reset()


def test_a_producer_reads_no_roster(users, producer, tmp_path):
    if not users.knows_read_only:
        pytest.skip("Redis 6.2 knows no right to write alone: the documentation says so")
    number = "+14155550176"
    (tmp_path / "roster.csv").write_text(f"phone,note\n{number},a neighbour of {number}\n+1415555,rejected\n")
    with Command() as command:
        options = ("--batch", "read", "--yes", "--max-reject-share", "100%")
        done = command.run(("import", "roster.csv", *options), environ=users.environ(Role.OPERATOR), cwd=tmp_path)
    assert done.returncode in {0, 3}, done.stderr

    batch = keys.Keys("ringproof").batch("read")
    columns = {batch.columns, *batch.pages}
    read = {}
    for key in users.admin.keys("ringproof:*"):
        for reading in ("HGETALL", "SMEMBERS", "GET"):
            with contextlib.suppress(redis.ResponseError, redis.exceptions.NoPermissionError):
                read[key] = read.get(key, "") + str(producer.execute_command(reading, key))
    users.admin.acl_log_reset()

    assert "ringproof:batch:read" in read
    assert users.admin.exists(*columns) == 3, "the names, the rows' and the rejected rows'"
    assert [key for key in read if number in read[key] or key in columns] == []


def test_no_key_of_a_producer_is_a_set():
    """Celery reads the members of its own sets with the same command, so a producer's user has it."""
    assert "smembers" in commands_of(Role.PRODUCER)
    assert re.findall(r"`\{P\}:([^`]+)` \| set ", keys.__doc__) == []


@pytest.mark.parametrize("key", ["policy", "limits", "pace", "pauses", "destinations"])
def test_a_producer_reads_the_policy_and_the_pace_and_changes_neither(users, producer, key):
    if not users.knows_read_only:
        pytest.skip("Redis 6.2 knows no right to read alone: the documentation says so")
    scripts = producer.script_load("return redis.call('HSET', ARGV[1], 'a', 'b')")

    assert isinstance(producer.hgetall(f"ringproof:{key}"), dict)
    for change in (
        lambda: producer.hset(f"ringproof:{key}", "rate_window_us", 1),
        lambda: producer.delete(f"ringproof:{key}"),
        lambda: producer.evalsha(scripts, 0, f"ringproof:{key}"),
        lambda: Ledger(producer).publish_policy(Policy()),
    ):
        with pytest.raises((redis.ResponseError, LedgerUnavailable)):
            change()
    users.admin.acl_log_reset()


def test_a_cancel_needs_no_right_to_write_the_pace(client, redis_server):
    """Redis 6.2 knows no right to read alone: so this looks at what a cancel writes where no pace is."""
    ledger = Ledger(client, prefix="cancelling")
    accepted = ledger.accept(NUMBER, token="any")

    assert ledger.cancel(NUMBER, accepted.request) is Settled.SETTLED
    assert not client.exists("cancelling:pace")


NOT_OF_PRODUCERS = {
    *("removal:HANDLE", "wrong_codes:N", "limits:history", "held", "reconcile", "sync", "audit", "repair_cursor"),
    *(
        "heartbeats",
        "activity",
        "ticks",
        "gap",
        "trial",
        "minute",
        "tick:NAME",
        "events",
        "replicas",
        "unacked",
        "batches",
    ),
    *("newer_messages", "accounts", "people"),  # the last one: of accounts only
    *("request:ID", "request_ids", "idempotency:DIGEST", "credentials", "page_session:DIGEST"),  # of the front door
    *("outbox:copy", "outbox:NAME:waiting", "outbox:NAME:due", "outbox:NAME:given_up"),
}


def test_each_key_is_decided_about():
    named = set(re.findall(r"`\{P\}:([^`]+)`", keys.__doc__))
    producers = {right.rstrip("*") for right in (*WRITTEN_BY_PRODUCERS, *READ_BY_PRODUCERS, *ONLY_WRITTEN_BY_PRODUCERS)}
    theirs = {key for key in named if key in producers or any(r.endswith(":") and key.startswith(r) for r in producers)}

    assert named - theirs == NOT_OF_PRODUCERS


def test_each_key_of_a_batch_is_decided_about():
    """A producer may read the keys of `batch:*`, and only write those of `columns:*`. A list shows it no row."""
    batch = keys.Keys("").batch("people")
    below = {key for key in (batch.batch, batch.importer, *batch.content) if key.startswith(":batch:people")}

    assert "batch:*" in WRITTEN_BY_PRODUCERS
    assert "columns:*" in ONLY_WRITTEN_BY_PRODUCERS
    assert {batch.columns, *batch.pages}.isdisjoint(below)
    assert all(key.startswith(":columns:people") for key in (batch.columns, *batch.pages))


def test_the_rights_follow_prefix_and_database():
    rights = rights_of(Role.WORKER, "other", 3)

    assert "~other:*" in rights.acl(is_read_only_known=True)
    assert "&/3.other.control.pidbox" in rights.acl(is_read_only_known=True)
    assert "ringproof:" not in rights.acl(is_read_only_known=True)
    assert Settings.read({"RINGPROOF_PREFIX": "other"}).prefix == "other"
