"""Write the rejects of a roster to a file that can be corrected and imported."""

import csv
import json
import os
from collections.abc import Mapping
from typing import Final, Self

from ringproof.phone.masking import mask_value
from ringproof.rosters.columns import REJECT_COLUMNS
from ringproof.rosters.csv_rows import DELIMITERS
from ringproof.rosters.output_file import OutputFile
from ringproof.rosters.roster import Roster
from ringproof.rosters.row import RawRow, Reject

_BEGINNINGS: Final = (*(delimiter.join(REJECT_COLUMNS).encode() for delimiter in DELIMITERS), b'{"line": ')


class Rejects:
    """A rejects file that is being written: each row as it was, after its `line`, `column` and `reason`.

        >>> with open_roster("people.csv") as roster, Rejects("rejects.csv", roster) as rejects:
        ...     for outcome in roster:
        ...         if isinstance(outcome, Reject):
        ...             rejects.write(outcome)

    A row of the file is then, for example, `3,Phone,no_country,4155552672,Zoë`.

    The file has the roster's own format: CSV with the same delimiter and header (one is made if there was none), or
    else NDJSON, as for rows from Python. In NDJSON, an object's own `line`, `column` or `reason` is replaced. An import
    leaves these three columns out, so that the corrected file can be imported with the same mapping. The numbers are
    not masked; only the owner can read the file (0600).

    The file takes its place when it is closed, with rejects in it or without. Until then, and after an error in the
    `with` block, the earlier file stays. Only an earlier rejects file of one's own is ever replaced; a link, a pipe or
    a device is refused. Raises `Unwritable` for all of that, and for every error of the system, such as a full disk.
    """

    def __init__(self, path: str | os.PathLike[str], roster: Roster) -> None:
        self.count = 0
        # A spreadsheet that wrote a byte order mark needs one, or it reads the file as Latin-1.
        encoding = "utf-8" if roster.encoding in {None, "utf-8"} else "utf-8-sig"
        self._delimiter = roster.delimiter
        self._output = OutputFile(path, encoding, holds="rejects", beginnings=_BEGINNINGS)
        if self._delimiter:
            self._write_fields(*REJECT_COLUMNS, *roster.columns.names)

    def write(self, reject: Reject) -> None:
        """Add a reject."""
        self.count += 1
        added = (reject.line, reject.column, reject.reason)
        if self._delimiter:
            self._write_fields(*added, *reject.raw)
        else:
            with self._output.errors_named():
                self._output.file.write(_json_line(dict(zip(REJECT_COLUMNS, added, strict=True)), reject.raw))

    def close(self) -> None:
        """Write everything to the disk, and move the file to its place."""
        self._output.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self._output.__exit__(kind, *error)

    def _write_fields(self, *fields: object) -> None:
        with self._output.errors_named():
            writer = csv.writer(self._output.file, delimiter=self._delimiter or ",", lineterminator="\n")
            writer.writerow(fields)


def _json_line(added: Mapping[str, object], raw: RawRow) -> str:
    row = dict(raw) if isinstance(raw, Mapping) else {}
    try:
        return json.dumps({**added, **{key: row[key] for key in row if key not in added}}, ensure_ascii=False) + "\n"
    except (TypeError, ValueError, RecursionError):  # a row from Python, which may have any object in it
        as_text = {str(key): value if isinstance(value, str) else mask_value(value) for key, value in row.items()}
        return json.dumps({**added, **as_text}, ensure_ascii=False) + "\n"
