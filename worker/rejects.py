"""The rejects of a roster, written so that they can be corrected and imported."""

import csv
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Self, TextIO

from worker.columns import OURS
from worker.errors import Unwritable
from worker.phone import shown
from worker.roster import Roster
from worker.row import Raw, Reject
from worker.table import DELIMITERS

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
        self._name = os.fspath(path)
        self._part: Path | None = None
        # A spreadsheet that wrote a byte order mark wants one, or it takes the file for Latin-1.
        self._encoding = "utf-8" if roster.encoding in {None, "utf-8"} else "utf-8-sig"
        self._delimiter = roster.delimiter
        with self._telling():
            self._place = Path(self._name).resolve()
            self._file = self._open()
        if self._delimiter:
            self._write_fields(*OURS, *roster.columns.names)

    def write(self, reject: Reject) -> None:
        """Add a reject."""
        self.count += 1
        ours = (reject.line, reject.column, reject.reason)
        if self._delimiter:
            self._write_fields(*ours, *reject.raw)
        else:
            with self._telling():
                self._file.write(_json_line(dict(zip(OURS, ours, strict=True)), reject.raw))

    def close(self) -> None:
        """Put the file into its place, and see that it is on the disk."""
        if self._file.closed:
            return
        with self._telling():
            self._file.flush()
            if self._part:
                os.fsync(self._file.fileno())
            self._file.close()
            if self._part:
                self._part.replace(self._place)
                self._part = None

    def abandon(self) -> None:
        """Leave nothing but what was there before."""
        with suppress(OSError):  # what could not be written cannot be when it is closed, either
            self._file.close()
        if self._part:
            self._part.unlink(missing_ok=True)
            self._part = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()

    def _write_fields(self, *fields: object) -> None:
        with self._telling():
            csv.writer(self._file, delimiter=self._delimiter or ",", lineterminator="\n").writerow(fields)

    def _open(self) -> TextIO:
        if self._place.exists() and not self._place.is_file():
            return self._place.open("w", encoding=self._encoding, newline="")
        if self._place.exists() and not _holds_rejects(self._place):
            raise Unwritable(self._name, "it exists and holds no rejects", "name another file, or take this one away")
        handle, part = tempfile.mkstemp(prefix=f".{self._place.name[:50]}.", suffix=".part", dir=self._place.parent)
        self._part = Path(part)
        # JSON may escape half a surrogate, which UTF-8 cannot hold: it is escaped again.
        return open(handle, "w", encoding=self._encoding, errors="backslashreplace", newline="")  # noqa: PTH123 - a handle has no path

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Say of what the system refuses which file it is, and leave no half of it."""
        try:
            yield
        except OSError as error:
            if hasattr(self, "_file"):
                self.abandon()
            cause = f"it cannot be written: {error.strerror or error}"
            raise Unwritable(self._name, cause, "make room, or name a file that can be") from error


def _holds_rejects(path: Path) -> bool:
    """Tell whether a file is one of ours, or empty."""
    with path.open("rb") as file:
        head = file.read(100).removeprefix(b"\xef\xbb\xbf")
    return not head or head.startswith(_BEGINNINGS)


def _json_line(ours: Mapping[str, object], raw: Raw) -> str:
    row = dict(raw) if isinstance(raw, Mapping) else {}
    try:
        return json.dumps({**ours, **{key: row[key] for key in row if key not in ours}}, ensure_ascii=False) + "\n"
    except (TypeError, ValueError, RecursionError):  # of rows from Python, which may hold anything
        scalar = {str(key): value if isinstance(value, str) else shown(value) for key, value in row.items()}
        return json.dumps({**ours, **scalar}, ensure_ascii=False) + "\n"
