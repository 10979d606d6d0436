"""Celery, whose workers note when they ask Plivo: `python celery_with_notes.py -A worker worker …`.

Each request is a line in the file `FIRST_BYTES`: the boot clock's time of its final check. When the request arrives
also depends on how busy the machine is. Each slot that a busy worker has missed, and replaced by another, is a line in
a file beside it.
"""

import os
import sys
import threading
from pathlib import Path

import worker.sending.final_check
from ringproof.plivo import transport
from worker.sending.late_sends import LateSends

NAME = "first-bytes"
MISSED = ".missed"


def first_bytes(folder):
    """When each request was begun to be written, in order."""
    return sorted(map(float, (Path(folder) / NAME).read_text().split()))


def missed_slots(folder):
    """When each slot was replaced because its worker came too late, in order."""
    file = Path(folder) / (NAME + MISSED)
    return sorted(map(float, file.read_text().split())) if file.exists() else []


def note(file):
    """Have this process and its children note them."""
    into = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    missed = os.open(file + MISSED, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    replace = LateSends.replace
    clock, write, looked = worker.sending.final_check.boot_clock, transport._HttpTry.write, threading.local()

    def looking():
        looked.at = clock()
        return looked.at

    def writing(self):
        is_first = not self.written
        write(self)
        if is_first:
            os.write(into, f"{looked.at if self._before_first_byte else clock()}\n".encode())

    def replacing(*args):
        os.write(missed, f"{clock()}\n".encode())
        return replace(*args)

    worker.sending.final_check.boot_clock = looking
    LateSends.replace = replacing
    transport._HttpTry.write = writing


if __name__ == "__main__":
    note(os.environ["FIRST_BYTES"])
    from celery.__main__ import main

    sys.exit(main())
