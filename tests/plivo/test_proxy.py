"""Through a company's network: a real proxy process, a private authority, and what either may refuse."""

import base64
import logging
import os
import time

import pytest
from support.company_proxy import ESCAPED, LOGIN, PLIVO, Authority, CompanyProxy
from support.harness import AUTH_ID, AUTH_TOKEN, eventually, stopped
from support.wire import (
    CONNECTED_SOON,
    NUMBER,
    QUICK,
    TAKEN,
    everything_shown,
    hang_up,
    http,
    locals_shown,
    outcome,
    refused_port,
    trickle,
)
from support.wire import LOGIN as PLIVO_LOGIN

from ringproof import runtime
from ringproof.errors import Unknown, Unreachable
from ringproof.network.proxy import Proxy, goes_direct
from ringproof.plivo import transport
from ringproof.plivo.client import PlivoClient, Sent
from ringproof.plivo.transport import HTTP_TIMEOUTS, HttpTimeouts
from ringproof.secret_str import SecretStr

USER, PASSWORD = LOGIN
BASIC = base64.b64encode(":".join(LOGIN).encode()).decode()
SHORT = HttpTimeouts(connecting_seconds=1)
SECRETS = (PASSWORD, ESCAPED, BASIC, AUTH_TOKEN, PLIVO_LOGIN)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def proxy(tmp_path_factory):
    """A proxy that wants a login."""
    with stopped(CompanyProxy(tmp_path_factory.mktemp("proxy"), dict(os.environ), LOGIN)) as running:
        yield running


@pytest.fixture
def far(serve, authority):
    """Plivo, where nobody gets without the proxy, and as it is known by the company's authority."""
    return serve(tls=authority.server(PLIVO))


@pytest.fixture
def client_by(authority):
    """Build clients that reach Plivo through a proxy."""
    clients = []

    def build(server, proxy, timeouts=HTTP_TIMEOUTS, *, name=PLIVO, ca_bundle=str(authority.bundle)):
        client = PlivoClient(
            AUTH_ID,
            SecretStr(AUTH_TOKEN),
            f"https://{name}:{server.port}/v1",
            timeouts=timeouts,
            proxy=Proxy.parse(proxy),
            ca_bundle=ca_bundle,
        )
        clients.append(client)
        return client

    yield build
    for client in clients:
        client.close()


# Through a real proxy


def test_a_request_goes_through_the_proxy_with_its_login(far, proxy, client_by):
    client = client_by(far, f"http://{USER}:{ESCAPED}@{proxy.address}")

    assert type(client.initiate(NUMBER)) is Sent
    assert type(client.initiate(NUMBER)) is Sent

    assert far.connections == 1, "the tunnel is used again"
    assert [request.split(b" ")[0] for request in far.requests] == [b"POST", b"POST"]
    assert not any(b"Proxy-" in request for request in far.requests), "the login is the proxy's alone"


def test_the_usual_variables_lead_a_worker_there(far, proxy, authority, monkeypatch):
    monkeypatch.setenv("PLIVO_AUTH_ID", AUTH_ID)
    monkeypatch.setenv("PLIVO_AUTH_TOKEN", AUTH_TOKEN)
    monkeypatch.setenv("PLIVO_BASE_URL", f"https://{PLIVO}:{far.port}/v1")
    monkeypatch.setenv("HTTPS_PROXY", f"http://{USER}:{ESCAPED}@{proxy.address}")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.bundle))
    runtime._plivo.cache_clear()

    assert type(runtime.plivo().initiate(NUMBER)) is Sent
    runtime.plivo().close()
    runtime._plivo.cache_clear()


def test_without_the_proxy_nobody_knows_the_way(far, client_by):
    client = PlivoClient(AUTH_ID, SecretStr(AUTH_TOKEN), f"https://{PLIVO}:{far.port}/v1", timeouts=QUICK)

    assert type(outcome(client.initiate, NUMBER)) is Unreachable
    client.close()


@pytest.mark.parametrize(
    ("login", "said"),
    [
        ("", "the proxy wants a login (407): see PLIVO_PROXY"),
        ("a:b@", "the proxy refuses the login (407): see PLIVO_PROXY"),
    ],
)
def test_a_login_that_is_missing_or_wrong_is_named_and_is_not_repeated(far, proxy, client_by, login, said):
    before = proxy.log.count("ProxyAuthenticationFailed")

    got = outcome(client_by(far, f"http://{login}{proxy.address}").initiate, NUMBER)

    assert type(got) is Unreachable
    assert str(got) == said
    assert far.connections == 0
    assert proxy.log.count("ProxyAuthenticationFailed") - before == 1, (
        "a wrong password that is repeated locks an account"
    )


def test_a_proxy_that_does_not_reach_plivo_is_asked_again_and_nothing_is_in_doubt(proxy, client_by, far):
    far.port, port = refused_port(), far.port
    client = client_by(far, f"http://{USER}:{ESCAPED}@{proxy.address}", SHORT)
    far.port = port

    def refused():
        got = outcome(client.initiate, NUMBER)
        assert type(got) is Unreachable
        return str(got) == "the proxy refuses to connect to Plivo (502)"  # or the end of its time has cut the last try

    eventually(refused, within=30)
    assert proxy.log.count("ProxyConnectionFailed") > 1


def test_the_tunnel_and_tls_are_ready_before_the_request_waits_for_its_slot(far, proxy, client_by):
    """The last look at the clock is directly before the first byte, as without a proxy."""
    seen = []

    class SlotOver(Exception):
        pass

    def last_look():
        seen.append(far.connections)
        raise SlotOver

    client = client_by(far, f"http://{USER}:{ESCAPED}@{proxy.address}")
    with pytest.raises(SlotOver):
        client.initiate(NUMBER, before_first_byte=last_look)

    assert seen == [1]
    assert far.requests == []


def test_a_request_that_breaks_off_behind_the_proxy_is_in_doubt(serve, authority, proxy, client_by):
    far = serve(hang_up(), authority.server(PLIVO))

    got = outcome(client_by(far, f"http://{USER}:{ESCAPED}@{proxy.address}").initiate, NUMBER)

    assert type(got) is Unknown
    assert len(far.requests) == 1


# What a proxy may answer

REFUSALS = {
    "403": (http(403, b"<html>blocked</html>"), "the proxy refuses to connect to Plivo (403)"),
    "407": (http(407, b"", "Proxy-Authenticate: NTLM"), "the proxy refuses the login (407): see PLIVO_PROXY"),
    "503": (http(503), "the proxy refuses to connect to Plivo (503)"),
    "a redirect": (http(302, b"", "Location: http://login.example/"), "the proxy refuses to connect to Plivo (302)"),
    "100": (http(100), "the proxy refuses to connect to Plivo (100)"),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.2 +14155550123\r\n\r\n", "the proxy's answer is no HTTP"),
    "a status of four digits": (b"HTTP/1.1 2000 OK\r\n\r\n", "the proxy's answer is no HTTP"),
    "closed": (hang_up(), "the proxy gave no answer"),
    "closed in the head": (hang_up(b"HTTP/1.1 200 OK\r\n"), "the proxy gave no answer"),
    "reset": (hang_up(reset=True), "no way through the proxy: Connection reset by peer"),
    "a head without an end": (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20_000, "the proxy gave no answer"),
    "trickling": (trickle(b"HTTP/1.1 200 OK\r\nX: "), "no way through the proxy: timed out"),
    "silent": (lambda connection, _request: connection.recv(1), "no way through the proxy: timed out"),
    "no TLS behind it": (http(200) + b"HTTP/1.1 400 Bad Request\r\n\r\n", None),
}


@pytest.mark.parametrize("kind", REFUSALS)
def test_whatever_a_proxy_answers_nothing_was_sent_and_nothing_is_shown(
    serve, client_by, far, caplog, monkeypatch, kind
):
    caplog.set_level(logging.DEBUG)
    if kind != "trickling":
        monkeypatch.setattr(transport, "boot_clock", lambda: 0.0)  # no try is too late, however busy the machine is
    play, said = REFUSALS[kind]
    middle = serve(play)
    began = time.monotonic()

    got = outcome(client_by(far, f"http://{USER}:{ESCAPED}@127.0.0.1:{middle.port}", QUICK).initiate, NUMBER)

    assert type(got) is Unreachable
    assert said is None or str(got) == said
    assert time.monotonic() - began < CONNECTED_SOON
    assert all(request.startswith(f"CONNECT {PLIVO}:{far.port} HTTP/1.1\r\n".encode()) for request in middle.requests)
    assert not any(PLIVO_LOGIN.encode() in request for request in middle.requests)
    shown = everything_shown(got) + caplog.text
    assert not [secret for secret in (*SECRETS, "5550123") if secret in shown]
    assert not [secret for secret in SECRETS if secret in locals_shown(got)]


def test_a_proxy_that_is_away_is_named(far, client_by):
    got = outcome(client_by(far, f"http://127.0.0.1:{refused_port()}", QUICK).initiate, NUMBER)

    assert type(got) is Unreachable
    assert str(got) == "no way through the proxy: Connection refused"


# Certificates


def test_a_private_authority_is_trusted_by_its_bundle_alone(far, proxy, client_by):
    login = f"http://{USER}:{ESCAPED}@{proxy.address}"

    got = outcome(client_by(far, login, SHORT, ca_bundle=None).initiate, NUMBER)

    assert type(got) is Unreachable
    assert str(got) == "no connection: unable to get local issuer certificate"
    assert type(client_by(far, login).initiate(NUMBER)) is Sent
    assert len(far.requests) == 1


def test_the_certificate_must_be_plivos_and_not_the_proxys(serve, authority, proxy, client_by):
    far = serve(tls=authority.server("proxy.test"))

    got = outcome(client_by(far, f"http://{USER}:{ESCAPED}@{proxy.address}", SHORT).initiate, NUMBER)

    assert type(got) is Unreachable
    assert far.requests == []


def test_without_a_proxy_the_bundle_counts_as_well(serve, authority):
    server = serve(tls=authority.server("localhost"))
    client = PlivoClient(
        AUTH_ID, SecretStr(AUTH_TOKEN), f"https://localhost:{server.port}/v1", ca_bundle=str(authority.bundle)
    )

    assert type(client.initiate(NUMBER)) is Sent
    client.close()


# Which hosts go by a proxy


def test_this_machine_is_never_reached_through_a_proxy(serve):
    server = serve(TAKEN)
    client = PlivoClient(
        AUTH_ID, SecretStr(AUTH_TOKEN), server.url(), proxy=Proxy.parse(f"http://127.0.0.1:{refused_port()}")
    )

    assert type(client.initiate(NUMBER)) is Sent
    client.close()


@pytest.mark.parametrize(
    ("host", "no_proxy", "direct"),
    [
        ("localhost", "", True),
        ("127.0.0.1", "", True),
        ("127.8.0.1", "", True),
        ("::1", "", True),
        ("api.plivo.com", "", False),
        ("api.plivo.com", "*", True),
        ("api.plivo.com", "api.plivo.com", True),
        ("api.plivo.com", ".plivo.com", True),
        ("api.plivo.com", "*.plivo.com", True),
        ("api.plivo.com", "a.example, PLIVO.com", True),
        ("api.plivo.com", "a.example plivo.com", True),
        ("api.plivo.com", "livo.com", False),
        ("api.plivo.com", "api.plivo.com.example", False),
        ("api.plivo.com", "10.0.0.0/8,,", False),
        ("10.1.2.3", "10.0.0.0/8", True),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3", "fd00::/8", False),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("fd00::1", "[fd00::1]", True),
    ],
)
def test_a_host_goes_direct(host, no_proxy, direct):
    assert goes_direct(host, no_proxy) is direct


@pytest.mark.parametrize(
    ("text", "host", "port", "login"),
    [
        ("http://proxy.example:3128", "proxy.example", 3128, None),
        ("http://proxy.example:3128/", "proxy.example", 3128, None),
        ("http://proxy.example", "proxy.example", 80, None),
        ("proxy.example:3128", "proxy.example", 3128, None),
        ("user:pass@proxy.example:3128", "proxy.example", 3128, "user:pass"),
        ("http://u%40corp:p%2F%23%C3%A9@10.0.0.1:8080", "10.0.0.1", 8080, "u@corp:p/#é"),
        ("http://user@[fd00::1]:8080", "fd00::1", 8080, "user:"),
    ],
)
def test_a_proxy_is_written_as_usual(text, host, port, login):
    proxy = Proxy.parse(text)

    assert (proxy.host, proxy.port, proxy.login and proxy.login.get_secret_value()) == (host, port, login)
    assert not login or login not in f"{proxy} {proxy!r}"


def test_an_address_of_version_6_is_asked_for_in_brackets(serve, client_by):
    middle = serve(http(503))

    outcome(client_by(middle, f"127.0.0.1:{middle.port}", QUICK, name="[fd00::1]").initiate, NUMBER)

    assert middle.requests[0].startswith(f"CONNECT [fd00::1]:{middle.port} HTTP/1.1\r\nHost: [fd00::1]:".encode())
