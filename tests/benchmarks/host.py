"""A host with all processes of the Procfile, exactly as the Procfile has them."""

import sys

import procfile
import psutil
from support.harness import Process


class Host:
    """The processes at work, with the world's environment and these variables. They end with the world.

    `name` tells the workers of two hosts apart, as their real names would. `program` may run Celery in another way.
    """

    def __init__(self, world, name="host", *, program=("-m", "celery"), **variables):
        folder = world.folder / name
        folder.mkdir()
        self.processes = {}
        for line, (celery, *arguments) in procfile.commands().items():
            assert celery == "celery", f"the Procfile's {line} runs {celery}"
            command = [sys.executable, *program, *(one.replace("%h", name) for one in arguments), "-l", "INFO"]
            log = folder / f"{line}.log"
            world.logs.append(log)
            self.processes[line] = Process(command, log, world.environ(**variables), folder)
            world.callback(self.processes[line].kill)
        for line, process in self.processes.items():
            process.until_logged("beat: Starting" if "beat" in procfile.commands()[line] else " ready.")

    def assert_alive(self):
        """Fail if one of them has ended: what was measured since is worth nothing."""
        for line, process in self.processes.items():
            assert process.popen.poll() is None, f"{line} has ended:\n{process.log[-2000:]}"

    def all_processes(self):
        """Each process, with its children's children."""
        tops = [psutil.Process(process.popen.pid) for process in self.processes.values()]
        return [one for top in tops for one in (top, *top.children(recursive=True))]
