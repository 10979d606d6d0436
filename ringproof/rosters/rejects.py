"""The rejects of a roster, written so that they can be corrected and imported."""

import csv
import json
import os
from collections.abc import Mapping
from typing import Final, Self

from ringproof.phone.masking import mask_value
from ringproof.rosters.columns import OURS
from ringproof.rosters.csv_rows import DELIMITERS
from ringproof.rosters.output_file import OutputFile
from ringproof.rosters.roster import Roster
from ringproof.rosters.row import Raw, Reject

_BEGINNINGS: Final = (*(delimiter.join(OURS).encode() for delimiter in DELIMITERS), b'{"line": ')


class Rejects:
    """A file of rejects that is being written: each has `line, column, reason`, and then the row as it was.

    It is of the roster's own kind: CSV with its delimiter and header (one is made where there was none), or else
    NDJSON, as for rows from Python (an object's own `line`, `column` or `reason` gives way). Whoever opens it as a
    roster does not see the three, so that it can be imported, with the same mapping, once corrected. Its numbers are
    not masked; only its owner can read it (0600).

    It takes its place when closed, with or without rejects in it. Until then, and if an error leaves the `with`, what
    stands there stays, which may be earlier rejects; nothing else is ever replaced. A device or pipe is written to
    directly. Raises `Unwritable` for that, and for all that the system refuses, such as for want of room.
    """

    def __init__(self, path: str | os.PathLike[str], roster: Roster) -> None:
        self.count = 0
        # A spreadsheet that wrote a byte order mark wants one, or it takes the file for Latin-1.
        encoding = "utf-8" if roster.encoding in {None, "utf-8"} else "utf-8-sig"
        self._delimiter = roster.delimiter
        self._replacement = OutputFile(path, encoding, holds="rejects", beginnings=_BEGINNINGS)
        if self._delimiter:
            self._write_fields(*OURS, *roster.columns.names)

    def write(self, reject: Reject) -> None:
        """Add a reject."""
        self.count += 1
        ours = (reject.line, reject.column, reject.reason)
        if self._delimiter:
            self._write_fields(*ours, *reject.raw)
        else:
            with self._replacement.errors_named():
                self._replacement.file.write(_json_line(dict(zip(OURS, ours, strict=True)), reject.raw))

    def close(self) -> None:
        """Put the file into its place, and see that it is on the disk."""
        self._replacement.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self._replacement.__exit__(kind, *error)

    def _write_fields(self, *fields: object) -> None:
        with self._replacement.errors_named():
            writer = csv.writer(self._replacement.file, delimiter=self._delimiter or ",", lineterminator="\n")
            writer.writerow(fields)


def _json_line(ours: Mapping[str, object], raw: Raw) -> str:
    row = dict(raw) if isinstance(raw, Mapping) else {}
    try:
        return json.dumps({**ours, **{key: row[key] for key in row if key not in ours}}, ensure_ascii=False) + "\n"
    except (TypeError, ValueError, RecursionError):  # of rows from Python, which may hold anything
        scalar = {str(key): value if isinstance(value, str) else mask_value(value) for key, value in row.items()}
        return json.dumps({**ours, **scalar}, ensure_ascii=False) + "\n"
