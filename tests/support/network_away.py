"""A request in a network of its own that goes away directly before the first byte; run by tests/plivo/test_given_up.py.

    python network_away.py ANSWER_SECONDS given_up|frozen|killed

Prints one JSON object. The network is the loopback device of a namespace, so nothing needs to be installed.
"""

import ctypes
import fcntl
import json
import math
import os
import signal
import socket
import struct
import sys
import time
from pathlib import Path

from support.wire import AUTH_ID, AUTH_TOKEN, NUMBER, TAKEN, Server, outcome

from ringproof.plivo.client import PlivoClient
from ringproof.plivo.transport import HttpTimeouts
from ringproof.secret_str import SecretStr

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
NOT_ALLOWED = 77


def leave_network():
    """Move this process into a network namespace of its own; it needs no thread yet."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) and libc.unshare(CLONE_NEWUSER | CLONE_NEWNET):
        print(os.strerror(ctypes.get_errno()))
        sys.exit(NOT_ALLOWED)


def switch_network(*, on):
    """Set the loopback device of this namespace up or down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        flags = struct.unpack("16sh", fcntl.ioctl(control, SIOCGIFFLAGS, struct.pack("16sh", b"lo", 0)))[1]
        flags = flags | IFF_UP if on else flags & ~IFF_UP
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh", b"lo", flags))


def bytes_that_wait(port):
    """How many bytes the system still tries to send to this port."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(int(queues.split(":")[0], 16) for _, _, to, _, queues, *_ in lines if int(to.split(":")[1], 16) == port)


def wait_until(condition, seconds):
    """Wait for a condition; return how many seconds that took, or infinity."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        if condition():
            return time.monotonic() - began
        time.sleep(0.02)
    return math.inf


def main(answer_seconds, what):
    leave_network()
    switch_network(on=True)
    server = Server(TAKEN)
    timeouts = HttpTimeouts(answer_seconds=answer_seconds)
    client = PlivoClient(AUTH_ID, SecretStr(AUTH_TOKEN), server.url(), timeouts=timeouts)
    report = {}
    if what == "given_up":
        report["outcome"] = type(
            outcome(client.initiate, NUMBER, before_first_byte=lambda: switch_network(on=False))
        ).__name__
    else:
        child = os.fork()
        if not child:
            outcome(client.initiate, NUMBER, before_first_byte=lambda: switch_network(on=False))
            os._exit(0)
        assert wait_until(lambda: bytes_that_wait(server.port), 30)
        os.kill(child, signal.SIGSTOP if what == "frozen" else signal.SIGKILL)
    report["seconds until nothing waits"] = wait_until(lambda: not bytes_that_wait(server.port), 10 + answer_seconds)
    switch_network(on=True)
    report["the next one"] = type(outcome(client.initiate, NUMBER)).__name__
    report["requests"] = len(server.requests)
    if what == "frozen":
        os.kill(child, signal.SIGKILL)
    print(json.dumps(report))
    os._exit(0)


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2])
