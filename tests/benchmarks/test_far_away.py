import gc
import socket
import threading
import time

import pytest
from support.far_away import FarAway
from support.harness import eventually

ROUND_TRIP_SECONDS = 0.1
PATIENCE_SECONDS = 30.0
MEGABYTES = 8


@pytest.fixture
def echo():
    """Serve connections that send back what they get, until they get no more."""
    listening = socket.create_server(("127.0.0.1", 0))
    threads = []

    def serve(connection):
        with connection:
            while data := connection.recv(65_536):
                connection.sendall(data)

    def accept():
        try:
            while True:
                threads.append(threading.Thread(target=serve, args=(listening.accept()[0],), daemon=True))
                threads[-1].start()
        except OSError:
            return

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    yield listening.getsockname()[1]
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    accepting.join(PATIENCE_SECONDS)
    for thread in threads:
        thread.join(PATIENCE_SECONDS)


@pytest.fixture
def network(echo):
    with FarAway(echo, ROUND_TRIP_SECONDS * 1000) as network:
        yield network


def connected(network):
    return socket.create_connection(("127.0.0.1", network.port), timeout=PATIENCE_SECONDS)


def received(connection, count):
    data = b""
    while len(data) < count:
        data += connection.recv(count - len(data))
    return data


def test_an_answer_takes_a_round_trip_and_the_first_one_another_to_connect(network):
    with connected(network) as connection:
        seconds = []
        for _ in range(2):
            began = time.monotonic()
            connection.sendall(b"ping")
            assert received(connection, 4) == b"ping"
            seconds.append(time.monotonic() - began)

    assert seconds[0] >= 2 * ROUND_TRIP_SECONDS * 0.9
    assert seconds[1] >= ROUND_TRIP_SECONDS


def test_what_is_under_way_together_arrives_together_and_in_order(network):
    sent = b"".join(bytes([n % 256]) * 1024 for n in range(MEGABYTES * 1024))
    with connected(network) as connection:
        began = time.monotonic()
        sending = threading.Thread(target=connection.sendall, args=(sent,))
        sending.start()
        assert received(connection, len(sent)) == sent
        seconds = time.monotonic() - began
        sending.join()

    windows = len(sent) / 65_536
    assert seconds < windows * ROUND_TRIP_SECONDS, "a round trip for each window: it limits the throughput"


def test_an_end_is_passed_on(network):
    with connected(network) as connection:
        connection.sendall(b"last")
        connection.shutdown(socket.SHUT_WR)

        assert received(connection, 4) == b"last"
        assert connection.recv(1) == b""


def test_a_cut_network_is_silent_also_to_new_connections(network):
    with connected(network) as connection:
        connection.sendall(b"ping")
        assert received(connection, 4) == b"ping"

        network.cut()
        connection.sendall(b"ping")
        for one in (connection, connected(network)):
            with one:
                one.settimeout(3 * ROUND_TRIP_SECONDS)
                with pytest.raises(TimeoutError):
                    one.recv(1)


def test_it_ends_while_a_host_connects(echo, caplog):
    connects_for_a_host(echo)
    gc.collect()

    assert not caplog.messages


def connects_for_a_host(port):
    with FarAway(port, 1000 * PATIENCE_SECONDS) as network, connected(network):
        eventually(lambda: network.transports)
