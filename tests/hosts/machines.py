"""Machines on this one: each has a network, a name and a boot clock of its own, and one cable to the router.

Nothing of the product is loosened for them. The sandbox listens on its machine's loopback, and workers ask nothing but
127.0.0.1 without TLS. So on all other machines the address 127.0.0.1 leads through the cable to Plivo's machine: the
kernel itself carries it there, and a connection hangs, is refused or is lost as it would be by any other address.

A machine is a process that holds the namespaces. The kernel removes them when it has ended, and those that run there:
nothing is left to clean up after Ctrl-C or a failure, and a SIGKILL of the test ends the machines and the router, too.
"""

import json
import os
import subprocess
import sys
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from router import DEVICE, enter
from support.harness import eventually

LOOPBACK = "127.0.0.1"
DIES_WITH_US = ["setpriv", "--pdeathsig", "KILL"]
CALM = {"cut_in": False, "cut_out": False, "delay_ms": 0.0, "jitter_ms": 0.0, "loss": 0.0}

NEEDS = ("unshare", "nsenter", "setpriv", "ip", "sysctl")


def why_not():
    """Why this machine cannot hold others; empty if it can."""
    if os.geteuid():
        return "only root can make network namespaces"
    if not Path("/dev/net/tun").exists():
        return "there is no /dev/net/tun"
    if not Path("/proc/self/ns/time").exists():
        return "this kernel has no time namespaces"
    missing = [name for name in NEEDS if subprocess.run(["which", name], capture_output=True, check=False).returncode]
    if missing:
        return f"there is no {' or '.join(missing)} on PATH (apt-get install iproute2 util-linux procps)"
    tried = subprocess.run(["unshare", "--net", "--uts", "--time", "true"], capture_output=True, text=True, check=False)
    return tried.stderr.strip()


@dataclass(frozen=True)
class Machine:
    """One of them. `on` is what a command begins with to run there."""

    name: str
    address: str
    holder: "subprocess.Popen[bytes]"

    @property
    def on(self):
        return ["nsenter", "--target", str(self.holder.pid), "--net", "--uts", "--time", "--"]

    @contextmanager
    def inside(self):
        """Have this thread, and the processes and threads that it starts meanwhile, in the machine's network."""
        with (
            opened(f"/proc/{self.holder.pid}/ns/net") as there,
            opened("/proc/thread-self/ns/net") as here,
        ):
            enter(there)
            try:
                yield
            finally:
                enter(here)

    def run(self, *command):
        """Run a command there. Raises CalledProcessError with its output."""
        subprocess.run([*self.on, *command], check=True, capture_output=True, text=True)


@contextmanager
def opened(path):
    """A file descriptor for the block."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


class Network:
    """Machines by their names, and the router between them; a context manager that leaves nothing behind.

    The one named `plivo` has the address 127.0.0.1 for all of them, but for those whose names begin with `redis`.
    """

    def __init__(self, *names):
        self._stack = ExitStack()
        self.names = names
        self.machines = {}

    def __getitem__(self, name):
        return self.machines[name]

    def __enter__(self):
        with self._stack:
            for nth, name in enumerate(self.names, 1):
                self.machines[name] = self._machine(nth, name)
            self._start_router()
            for machine in self.machines.values():
                self._connect(machine)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_):
        self._stack.close()

    def set(self, *names, **changes):
        """Set the cables of these machines, at once."""
        self._router.stdin.write(json.dumps(dict.fromkeys(names, changes)).encode() + b"\n")
        self._router.stdin.flush()
        assert self._router.stdout.readline() == b"done\n", "the router has ended"

    def cut(self, *names):
        """Deliver nothing to them, and nothing from them."""
        self.set(*names, cut_in=True, cut_out=True)

    def mend(self, *names):
        """Have their cables as they were."""
        self.set(*names, **CALM)

    def _machine(self, nth, name):
        # Clocks that differ by days, as those of machines do that were not started together.
        offset = 0 if name == "plivo" else 100_000 * nth
        clocks = ["--time", "--monotonic", str(offset), "--boottime", str(2 * offset)]
        command = [
            *DIES_WITH_US,
            "unshare",
            "--net",
            "--uts",
            *clocks,
            "--",
            "sh",
            "-c",
            f"hostname {name} && exec sleep infinity",
        ]
        holder = subprocess.Popen(command, start_new_session=True)
        self._stack.callback(holder.wait)
        self._stack.callback(holder.kill)
        named = lambda: Path(f"/proc/{holder.pid}/comm").read_text().strip() == "sleep"  # noqa: E731
        eventually(named, why=f"{name} did not start")
        return Machine(name, f"10.77.0.{nth}", holder)

    def _start_router(self):
        addresses = {name: [machine.address] for name, machine in self.machines.items()}
        addresses["plivo"].append(LOOPBACK)
        facts = {name: {"pid": one.holder.pid, "addresses": addresses[name]} for name, one in self.machines.items()}
        command = [*DIES_WITH_US, sys.executable, str(Path(__file__).with_name("router.py")), json.dumps(facts)]
        pipe = subprocess.PIPE
        self._router = subprocess.Popen(command, stdin=pipe, stdout=pipe, start_new_session=True)
        self._stack.callback(self._end_router)
        assert self._router.stdout.readline() == b"ready\n", "the router did not start"

    def _end_router(self):
        with suppress(OSError):
            self._router.stdin.close()
        self._router.kill()
        self._router.wait()
        self._router.stdout.close()

    def _connect(self, machine):
        machine.run(
            "sysctl", "-q", "-w", "net.ipv6.conf.all.disable_ipv6=1", f"net.ipv4.conf.{DEVICE}.route_localnet=1"
        )
        machine.run("ip", "link", "set", "lo", "up")
        machine.run("ip", "addr", "add", f"{machine.address}/24", "dev", DEVICE)
        machine.run("ip", "link", "set", DEVICE, "up")
        if machine.name != "plivo" and not machine.name.startswith("redis"):
            machine.run("ip", "addr", "del", f"{LOOPBACK}/8", "dev", "lo")
            machine.run("ip", "route", "add", f"{LOOPBACK}/32", "dev", DEVICE)
