"""Write a file so that it takes its place when it is complete, and replaces only an earlier file of the same kind."""

import fcntl
import glob
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Self, TextIO

from ringproof.errors import Unwritable

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_SUFFIX: Final = ".part"


class OutputFile:
    """A text file that only its owner can read (0600). It is written beside its place, and moved there when closed.

        >>> with OutputFile("numbers.txt", "utf-8", holds="numbers", beginnings=[b"+"]) as output:
        ...     with output.errors_named():
        ...         output.file.writelines(numbers)

    Until it is closed, and after an error in the `with` block, the earlier file stays as it was. The earlier file must
    be empty or begin with one of `beginnings`; any other file is never replaced, and the error says that it holds no
    `holds`. A device or a pipe is written to directly. Leftover temporary files of killed runs are removed: they have
    people's numbers in them.

    Raises `Unwritable` for all of that, and for every error of the system, such as a full disk.
    """

    def __init__(self, path: str | os.PathLike[str], encoding: str, *, holds: str, beginnings: Sequence[bytes]) -> None:
        self._name, self._encoding = os.fspath(path), encoding
        self._holds, self._beginnings = holds, tuple(beginnings)
        self._part: Path | None = None
        self._file: TextIO | None = None
        with self.errors_named():
            self._place = Path(self._name).resolve()
            self._file = self._open()

    @property
    def file(self) -> TextIO:
        """The stream to write to, within `errors_named`."""
        assert self._file is not None  # noqa: S101 - it is None only while the file is being opened
        return self._file

    def close(self) -> None:
        """Write everything to the disk, and move the file to its place."""
        if self.file.closed:
            return
        with self.errors_named():
            self.file.flush()
            if self._part:
                os.fsync(self.file.fileno())
            self.file.close()
            if self._part:
                self._part.replace(self._place)
                self._part = None

    def abandon(self) -> None:
        """Remove the new file; the earlier one stays."""
        if self._file:
            with suppress(OSError):  # closing writes the rest, which fails once more on a full disk
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

    @contextmanager
    def errors_named(self) -> Iterator[None]:
        """Turn an error of the system into `Unwritable`, which names the file, and remove the new file."""
        try:
            yield
        except OSError as error:
            self.abandon()
            cause = f"it cannot be written: {error.strerror or error}"
            raise Unwritable(self._name, cause, "make room, or name a file that can be written") from error

    def _open(self) -> TextIO:
        if self._place.exists() and not self._place.is_file():
            return self._place.open("w", encoding=self._encoding, newline="")
        if self._place.exists() and not self._is_replaceable():
            raise Unwritable(
                self._name, f"it exists and holds no {self._holds}", "name another file, or remove this one"
            )
        folder, prefix = self._place.parent, f".{self._place.name[:50]}."
        _remove_leftovers(folder.glob(f"{glob.escape(prefix)}*{_SUFFIX}"))
        handle, part = tempfile.mkstemp(prefix=prefix, suffix=_SUFFIX, dir=folder)
        self._part = Path(part)
        with suppress(OSError):  # a file system without locks: there no leftovers are removed, either
            fcntl.flock(handle, fcntl.LOCK_EX)
        # JSON may escape half a surrogate, which UTF-8 cannot hold: it is escaped again.
        return open(handle, "w", encoding=self._encoding, errors="backslashreplace", newline="")  # noqa: PTH123 - a handle has no path

    def _is_replaceable(self) -> bool:
        """Whether the file at the place is empty or of the same kind."""
        with self._place.open("rb") as file:
            head = file.read(200).removeprefix(_BYTE_ORDER_MARK)
        return not head or head.startswith(self._beginnings)


def _remove_leftovers(parts: Iterable[Path]) -> None:
    """Remove temporary files without a writer: a writer locks its file, and the lock ends with the process."""
    for part in parts:
        with suppress(OSError), part.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.unlink()
