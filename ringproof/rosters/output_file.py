"""A file that takes the place of an earlier one of its kind when it is whole, and of nothing else."""

import fcntl
import glob
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Self, TextIO

from ringproof.errors import Unwritable

_MARK: Final = b"\xef\xbb\xbf"
_SUFFIX: Final = ".part"


class Replacement:
    """A text file that only its owner can read (0600), written beside its place and put there when closed.

    Until then, and if an error leaves the `with`, what stands there stays. What stands there must be empty or begin as
    one of `beginnings`, or else it is refused: it is something else. A device or pipe is written to directly. What a
    killed one has left beside its place, with people's numbers in it, the next one takes away.
    Raises `Unwritable` for that, and for all that the system refuses, such as for want of room.
    """

    def __init__(self, path: str | os.PathLike[str], encoding: str, *, kind: str, beginnings: Sequence[bytes]) -> None:
        self._name, self._encoding = os.fspath(path), encoding
        self._kind, self._beginnings = kind, tuple(beginnings)
        self._part: Path | None = None
        self._file: TextIO | None = None
        with self.telling():
            self._place = Path(self._name).resolve()
            self._file = self._open()

    @property
    def file(self) -> TextIO:
        """What is to be written to, within `telling`."""
        assert self._file is not None  # noqa: S101 - there is none only while it is opened
        return self._file

    def close(self) -> None:
        """Put the file into its place, and see that it is on the disk."""
        if self.file.closed:
            return
        with self.telling():
            self.file.flush()
            if self._part:
                os.fsync(self.file.fileno())
            self.file.close()
            if self._part:
                self._part.replace(self._place)
                self._part = None

    def abandon(self) -> None:
        """Leave nothing but what was there before."""
        if self._file:
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

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Say of what the system refuses which file it is, and leave no half of it."""
        try:
            yield
        except OSError as error:
            self.abandon()
            cause = f"it cannot be written: {error.strerror or error}"
            raise Unwritable(self._name, cause, "make room, or name a file that can be") from error

    def _open(self) -> TextIO:
        if self._place.exists() and not self._place.is_file():
            return self._place.open("w", encoding=self._encoding, newline="")
        if self._place.exists() and not self._is_ours():
            raise Unwritable(
                self._name, f"it exists and holds no {self._kind}", "name another file, or take this one away"
            )
        beside, prefix = self._place.parent, f".{self._place.name[:50]}."
        _clear(beside.glob(f"{glob.escape(prefix)}*{_SUFFIX}"))
        handle, part = tempfile.mkstemp(prefix=prefix, suffix=_SUFFIX, dir=beside)
        self._part = Path(part)
        with suppress(OSError):  # a file system without locks: then nothing is taken away, either
            fcntl.flock(handle, fcntl.LOCK_EX)
        # JSON may escape half a surrogate, which UTF-8 cannot hold: it is escaped again.
        return open(handle, "w", encoding=self._encoding, errors="backslashreplace", newline="")  # noqa: PTH123 - a handle has no path

    def _is_ours(self) -> bool:
        """Tell whether what stands there is one of this kind, or empty."""
        with self._place.open("rb") as file:
            head = file.read(200).removeprefix(_MARK)
        return not head or head.startswith(self._beginnings)


def _clear(parts: Iterable[Path]) -> None:
    """Take away what nobody writes any more: whoever does has locked it, and a lock ends with its process."""
    for part in parts:
        with suppress(OSError), part.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.unlink()
