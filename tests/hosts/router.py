"""The network between the machines of a test: it delays packets, loses some, and stops at a cable that is cut.

    python router.py '{"redis": {"pid": 4711, "addresses": ["10.77.0.2"]}, …}'

It puts a TUN device named `net0` into the network namespace of each process id, passes on the packets that come out of
them, and prints `ready`. A line of JSON at its input sets cables: `{"redis": {"cut_out": true}}`. It answers `done`.
It ends with its input, and the devices with it. It runs in a process of its own: the test's would make it wait.
"""

import contextlib
import ctypes
import errno
import fcntl
import heapq
import itertools
import json
import os
import random
import selectors
import socket
import struct
import sys
import time
from dataclasses import dataclass, replace

CLONE_NEWNET = 0x40000000
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
DEVICE = "net0"
LARGEST_PACKET = 2048
LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Cable:
    """What happens to the packets of one machine, each way. What is late stays in order, as in a queue."""

    cut_in: bool = False
    cut_out: bool = False
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    loss: float = 0.0

    def seconds(self):
        """How long a packet is under way on it."""
        return max(0.0, self.delay_ms + random.uniform(-self.jitter_ms, self.jitter_ms)) / 1000


def enter(namespace):
    """Move this thread into a network namespace. Raises OSError."""
    if LIBC.setns(namespace, CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def tun(namespace):
    """Make the device there; return the file that its packets come out of."""
    enter(namespace)
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH", DEVICE.encode(), IFF_TUN | IFF_NO_PI))
    return device


class Router:
    """Passes packets from device to device."""

    def __init__(self, machines):
        self.cables = dict.fromkeys(machines, Cable())
        self.devices = {name: tun(os.open(f"/proc/{one['pid']}/ns/net", os.O_RDONLY)) for name, one in machines.items()}
        self.owners = {socket.inet_aton(one): name for name, facts in machines.items() for one in facts["addresses"]}
        self.under_way, self.order = [], itertools.count()
        self.arrives_at = {}

    def run(self):
        """Until the input ends."""
        with selectors.SelectSelector() as waiting:  # epoll waits for whole milliseconds
            waiting.register(sys.stdin.fileno(), selectors.EVENT_READ)
            for name, device in self.devices.items():
                waiting.register(device, selectors.EVENT_READ, name)
            while True:
                wait = self.under_way[0][0] - time.monotonic() if self.under_way else None
                for key, _ in waiting.select(None if wait is None else max(0.0, wait)):
                    if key.data:
                        self.read(key.data, key.fd)
                    elif not self.obey(sys.stdin.readline()):
                        return
                self.deliver()

    def obey(self, line):
        """Set cables; False at the input's end."""
        if not line:
            return False
        for name, changes in json.loads(line).items():
            self.cables[name] = replace(self.cables[name], **changes)
        print("done", flush=True)
        return True

    def read(self, name, device):
        """Take all packets that have come out of a machine."""
        while True:
            try:
                packet = os.read(device, LARGEST_PACKET)
            except BlockingIOError:
                return
            to = self.owners.get(packet[16:20])
            if to and packet[0] >> 4 == 4:
                self.send(name, to, packet)

    def send(self, name, to, packet):
        """Put a packet under way, unless it is lost."""
        out, into = self.cables[name], self.cables[to]
        if out.cut_out or into.cut_in or random.random() < out.loss or random.random() < into.loss:
            return
        at = max(time.monotonic() + out.seconds() + into.seconds(), self.arrives_at.get((name, to), 0.0))
        self.arrives_at[name, to] = at
        heapq.heappush(self.under_way, (at, next(self.order), to, packet))

    def deliver(self):
        """Deliver what has arrived. A cable that was cut meanwhile has lost it."""
        now = time.monotonic()
        while self.under_way and self.under_way[0][0] <= now:
            _, _, to, packet = heapq.heappop(self.under_way)
            if not self.cables[to].cut_in:
                try:
                    os.write(self.devices[to], packet)
                except OSError as error:  # a full queue loses packets; a device that is not up yet has nobody
                    if error.errno not in {errno.EAGAIN, errno.EIO, errno.ENOBUFS}:
                        raise


if __name__ == "__main__":
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, -15)  # a network waits for no processor
    router = Router(json.loads(sys.argv[1]))
    print("ready", flush=True)
    router.run()
