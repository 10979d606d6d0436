"""An import of a roster from a file of numbers, to be killed: `python importer.py FILE BATCH [SECONDS [ROWS GO]]`.

Each page takes so many seconds longer, and with so many rows in it goes on no further until the file GO is there. It
prints how many rows were in already, and at the end how many are.
"""

import sys
import time
from pathlib import Path

import ringproof.batches.importing
from ringproof import runtime
from ringproof.batches.importing import begin_import
from ringproof.rosters.roster import open_roster
from ringproof.rosters.row import Row

file, name, pause = sys.argv[1], sys.argv[2], float((*sys.argv, 0)[3])
stands_at, go = (int(sys.argv[4]), Path(sys.argv[5])) if sys.argv[4:] else (0, Path())
put = ringproof.batches.importing.BatchImport._store_page


def slowly(self):
    put(self)
    time.sleep(pause)
    while stands_at and self._stored >= stands_at and not go.exists():
        time.sleep(0.01)


ringproof.batches.importing.BatchImport._store_page = slowly

with (
    open_roster(Path(file)) as roster,
    begin_import(runtime.ledger(), name, fingerprint=roster.fingerprint, source=roster.name) as importing,
):
    print("already", importing.already_stored, flush=True)
    for row in roster:
        assert isinstance(row, Row), row
        importing.add(row)
    print("imported", importing.finish().rows, flush=True)
