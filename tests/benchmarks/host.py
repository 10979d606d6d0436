"""A host with all processes of the Procfile, exactly as the Procfile has them."""

import sys

import procfile
import psutil
from support.harness import Process, eventually

from ringproof.ledger.heartbeats import workers_alive

START_SECONDS = 30.0
STOP_SECONDS = 60.0
"""A worker stops within its grace, and that is shorter."""


class Host:
    """The processes at work, with the world's environment and these variables. They end with the world.

    `name` tells the workers of two hosts apart, as their real names would. `program` may run Celery in another way,
    `python` is that of another installation, and `on` is what its command begins with to run in another place.
    """

    def __init__(self, world, name="host", *, program=("-m", "celery"), python=sys.executable, on=(), **variables):
        self.world, self.name, self.variables = world, name, variables
        self.command = [*on, python, *program]
        self.folder = world.folder / name
        self.folder.mkdir()
        self.start()

    def start(self):
        """Start all of them, and return when they are at work."""
        self.processes = {}
        for line, (celery, *arguments) in procfile.commands().items():
            assert celery == "celery", f"the Procfile's {line} runs {celery}"
            command = [*self.command, *(one.replace("%h", self.name) for one in arguments)]
            log = self.folder / f"{line}.log"
            self.world.logs.append(log)
            self.processes[line] = Process(command, log, self.world.environ(**self.variables), self.folder)
            self.world.callback(self.processes[line].kill)
        names = {f"{line}@{self.name}" for line in self.processes}
        eventually(lambda: names <= set(workers_alive(self.world.ledger)), within=START_SECONDS)

    def stop(self):
        """End all of them as a supervisor does, with SIGTERM, and wait until they have ended."""
        for process in self.processes.values():
            process.popen.terminate()
        for line, process in self.processes.items():
            assert process.popen.wait(STOP_SECONDS) == 0, f"{line} has ended with {process.popen.returncode}"

    def assert_alive(self):
        """Fail if one of them has ended: what was measured since is worth nothing."""
        for line, process in self.processes.items():
            assert process.popen.poll() is None, f"{line} has ended:\n{process.log[-2000:]}"

    def all_processes(self):
        """Each process, with its children's children."""
        tops = [psutil.Process(process.popen.pid) for process in self.processes.values()]
        return [one for top in tops for one in (top, *top.children(recursive=True))]
