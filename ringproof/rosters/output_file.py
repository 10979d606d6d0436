"""Write a file so that it takes its place when it is complete, and replaces only an earlier file of the same kind."""

import errno
import fcntl
import glob
import os
import stat
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
    `holds`. It must be an ordinary file of the user who runs this: in a folder such as /tmp, another user may have put
    a link to one of your files there, or a pipe to read it from. Leftover temporary files of killed runs are removed:
    they have people's numbers in them.

    Raises `Unwritable` for all of that, and for every error of the system, such as a full disk.
    """

    def __init__(self, path: str | os.PathLike[str], encoding: str, *, holds: str, beginnings: Sequence[bytes]) -> None:
        self._name, self._encoding = os.fspath(path), encoding
        self._holds, self._beginnings = holds, tuple(beginnings)
        self._part: Path | None = None
        self._file: TextIO | None = None
        with self.errors_named():
            self._place = Path(self._name).absolute()
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
        self._check_earlier()
        folder, prefix = self._place.parent, f".{self._place.name[:50]}."
        _remove_leftovers(folder.glob(f"{glob.escape(prefix)}*{_SUFFIX}"))
        handle, part = tempfile.mkstemp(prefix=prefix, suffix=_SUFFIX, dir=folder)
        self._part = Path(part)
        with suppress(OSError):  # a file system without locks: there no leftovers are removed, either
            fcntl.flock(handle, fcntl.LOCK_EX)
        # JSON may escape half a surrogate, which UTF-8 cannot hold: it is escaped again.
        return open(handle, "w", encoding=self._encoding, errors="backslashreplace", newline="")  # noqa: PTH123 - a handle has no path

    def _check_earlier(self) -> None:
        """Raise `Unwritable` unless the place is free, or has an ordinary file of ours that may be replaced.

        A file that comes to the place later is replaced: moving a file there follows no link.
        """
        try:
            with _opened(self._place) as handle:
                status = os.fstat(handle)
                head = os.read(handle, 200) if stat.S_ISREG(status.st_mode) else b""
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            raise Unwritable(self._name, "it is a symbolic link", "name an ordinary file") from None
        head = head.removeprefix(_BYTE_ORDER_MARK)
        if not stat.S_ISREG(status.st_mode):
            raise Unwritable(self._name, "it is no ordinary file", "name one")
        if status.st_uid != os.geteuid():
            raise Unwritable(self._name, "it belongs to another user", "name another file")
        if head and not head.startswith(self._beginnings):
            cause, remedy = f"it exists and holds no {self._holds}", "name another file, or remove this one"
            raise Unwritable(self._name, cause, remedy)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """Open what is at a path to be read: no file that a link leads to, and without waiting for a pipe's writer."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        yield handle
    finally:
        os.close(handle)


def _remove_leftovers(parts: Iterable[Path]) -> None:
    """Remove our temporary files without a writer: a writer locks its file, and the lock ends with the process."""
    for part in parts:
        with suppress(OSError), _opened(part) as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(handle).st_uid == os.geteuid():
                part.unlink()
