"""Read a file's lines as text: unpacked, decoded and bounded. Memory grows neither with the file nor with a line."""

import codecs
import gzip
import io
import re
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from hashlib import blake2b
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO, Final, NoReturn, TypeVar

from ringproof.errors import InvalidRoster

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

T = TypeVar("T")

LONGEST_LINE: Final = 65_536
"""Characters. A row of a roster has a hundred or two; a line of a gigabyte must not fill the memory."""

_CHUNK_BYTES: Final = 65_536
_HEAD_BYTES: Final = 65_536  # the encoding is guessed from these

_SAVE_AS_UTF_8: Final = "save it as UTF-8: in a spreadsheet as “CSV UTF-8”; elsewhere iconv -f WINDOWS-1252 -t UTF-8"
_SAVE_AS_TEXT: Final = "give a text file: CSV with comma, semicolon, tab or bar, or NDJSON; gzip may pack it"
_SAVE_AS_CSV: Final = "open it in the spreadsheet and save it as “CSV UTF-8”"
_COPY_AGAIN: Final = "pack or copy it again; this copy is damaged"
_OTHER_FORMATS: Final = {
    b"PK\x03\x04": ("an Excel workbook, or another zip archive", _SAVE_AS_CSV),
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": ("an old Excel workbook", _SAVE_AS_CSV),
    b"%PDF-": ("a PDF", _SAVE_AS_TEXT),
    b"{\\rtf": ("a document (RTF)", _SAVE_AS_TEXT),
    b"PAR1": ("a Parquet file", _SAVE_AS_TEXT),
    b"SQLite format 3\0": ("an SQLite database", _SAVE_AS_TEXT),
}
_TEXT_FORMATS: Final = (  # however they are named: many a program calls its HTML table .xls
    (re.compile(r"BEGIN:VCARD"), "a vCard file", "export the contacts as CSV from the address book"),
    (re.compile(r"BEGIN:VCALENDAR"), "a calendar", _SAVE_AS_TEXT),
    (re.compile(r"MIME-VERSION:|FROM:[^\n]*\n(?:[^\n]*\n){0,9}MIME-VERSION:"), "a web page (MHTML)", _SAVE_AS_CSV),
    (re.compile(r"<\?XML.*<(?:\w+:)?WORKBOOK|<(?:\w+:)?WORKBOOK", re.DOTALL), "an Excel workbook in XML", _SAVE_AS_CSV),
    (
        re.compile(
            r"(?:<\?XML[^>]*>|<!--.*?-->|\s)*"
            r"(?:<!DOCTYPE HTML|<(?:HTML|HEAD|BODY|META|STYLE|TABLE|DIV|TR|CENTER|FONT)\b)",
            re.DOTALL,
        ),
        "an HTML page",
        _SAVE_AS_CSV,
    ),
    (re.compile(r"<(?:\?XML|!|\w[\w:.-]*[\s/>])"), "an XML file", _SAVE_AS_TEXT),
    (re.compile(r"ID;PWXL"), "a SYLK spreadsheet", _SAVE_AS_CSV),
)
_GZIP: Final = b"\x1f\x8b"
_BYTE_ORDER_MARKS: Final = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_CONTROL_BYTES: Final = bytes(range(9)) + bytes(range(14, 26)) + bytes(range(28, 32)) + b"\x7f"


class LineReader:
    r"""The lines of a binary stream as text, each with `\n` at its end; to be iterated over once.

    A gzip file is unpacked, whatever its name is. The encoding is guessed from the first 64 KiB: a byte order mark
    decides; otherwise it is UTF-16 if every second byte is mostly zero, or else UTF-8.

    A stream that can be read twice is read to its end at once (0.2 s for a million rows). So every error is found
    before the first line, and `fingerprint` is known. The second reading raises `InvalidRoster` if the bytes have
    changed. From any other stream, errors are raised where they occur.
    """

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self.name = name
        self.encoding = "utf-8"
        self.fingerprint: str | None = None
        """A digest of the unpacked bytes; None until a stream that can be read only once has ended."""
        self.size: int | None = None
        """How many bytes the stream has, packed or not; None if it can be read only once."""
        self.bytes_read = 0
        """How many of them have been read."""
        self._stream = stream
        start = self._start()
        if start is not None:
            deque(self._read(), maxlen=0)
            self._call(stream.seek, start)
            self.size, self.bytes_read = self.bytes_read, 0
        self._lines = self._read()

    def __iter__(self) -> Iterator[str]:
        return self._lines

    def _start(self) -> int | None:
        """Return the position of the stream, or None if the stream cannot be read twice."""
        try:
            return self._stream.tell() if self._stream.seekable() else None
        except OSError:
            return None

    def _read(self) -> Iterator[str]:
        """Yield the lines from here to the stream's end."""
        digest = blake2b(digest_size=16)
        chunks = self._content()
        head = b""
        while len(head) < _HEAD_BYTES and (chunk := next(chunks, b"")):
            head += chunk
        self.encoding = self._guess_encoding(head)
        self._refuse_other_formats(head)
        number, rest = 0, ""
        for text in self._decoded(chain((head,), chunks), digest):
            lines = list(io.StringIO(rest + text, newline="\n"))  # str.splitlines splits at form feeds, too
            rest = lines.pop() if lines and lines[-1][-1] != "\n" else ""
            if max(map(len, lines), default=0) > LONGEST_LINE or len(rest) > LONGEST_LINE:
                longest = next(at for at, line in enumerate((*lines, rest), number + 1) if len(line) > LONGEST_LINE)
                self._refuse(
                    f"line {longest} is longer than {LONGEST_LINE:,} characters", "put each row into a line of its own"
                )
            yield from lines
            number += len(lines)
        if rest:
            yield rest + "\n"
        if self.fingerprint not in {None, digest.hexdigest()}:
            self._refuse("it changed while it was read", "import it when no program writes to it any more")
        self.fingerprint = digest.hexdigest()

    def _decoded(self, chunks: Iterator[bytes], digest: blake2b) -> Iterator[str]:
        """Decode the chunks, and turn the end of each line into a line feed."""
        decoder = codecs.getincrementaldecoder(self.encoding)()
        newlines = io.IncrementalNewlineDecoder(None, translate=True)
        number = 1
        for chunk in chain(chunks, (b"",)):
            digest.update(chunk)
            try:
                text = newlines.decode(decoder.decode(chunk, final=not chunk), final=not chunk)
            except UnicodeDecodeError as error:
                number += max(error.object[: error.start].count(end) for end in (b"\n", b"\r"))
                byte, encoding = error.object[error.start], self.encoding.upper()
                self._refuse(f"line {number} has a byte, 0x{byte:02X}, that is not {encoding}", _SAVE_AS_UTF_8)
            number += text.count("\n")
            yield text.replace("\ufeff", "")  # a byte order mark in the middle, where files were put together

    def _guess_encoding(self, head: bytes) -> str:
        """Return the codec of a text that begins with these bytes. Raises `InvalidRoster` if this is no text."""
        for beginning, (what_it_is, remedy) in _OTHER_FORMATS.items():
            if head.startswith(beginning):
                self._refuse(f"it is {what_it_is}", remedy)
        for mark, encoding in _BYTE_ORDER_MARKS.items():
            if head.startswith(mark):
                return encoding
        pairs = len(head) // 2
        even, odd = head[: 2 * pairs : 2].count(0), head[1 : 2 * pairs : 2].count(0)
        for zeros, others, encoding in ((odd, even, "utf-16-le"), (even, odd, "utf-16-be")):
            if zeros * 2 > pairs and others * 20 <= pairs:
                return encoding
        controls = len(head) - len(head.translate(None, _CONTROL_BYTES))
        if controls * 10 > len(head) or (controls * 100 > len(head) and not _is_utf_8(head)):
            self._refuse("it is no text file", _SAVE_AS_TEXT)
        return "utf-8"

    def _refuse_other_formats(self, head: bytes) -> None:
        """Raise `InvalidRoster` if a text that begins with these bytes is no table, but another kind of text."""
        beginning = head[:4096].decode(self.encoding, "replace").lstrip("\ufeff \t\r\n").upper()
        for pattern, what_it_is, remedy in _TEXT_FORMATS:
            if pattern.match(beginning):
                self._refuse(f"it is {what_it_is}", remedy)

    def _content(self) -> Iterator[bytes]:
        """Yield the unpacked content of the stream, in chunks of about 64 KiB."""
        chunks, head = self._chunks(), b""
        while len(head) < len(_GZIP) and (chunk := next(chunks, b"")):  # a pipe may give one byte at a time
            head += chunk
        whole = chain((head,), chunks)
        return self._unpacked(whole) if head.startswith(_GZIP) else whole

    def _unpacked(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Unpack gzip, of one member or of several, a bounded chunk at a time: a gigabyte may be in a few kilobytes."""
        packed = io.BufferedReader(_ChunkStream(chunks), _CHUNK_BYTES)
        try:
            with gzip.GzipFile(fileobj=packed) as unpacked:
                while chunk := unpacked.read(_CHUNK_BYTES):
                    yield chunk
        except EOFError:
            self._refuse("what gzip has packed ends in the middle", _COPY_AGAIN)
        except (gzip.BadGzipFile, zlib.error):
            self._refuse("what gzip has packed is damaged", _COPY_AGAIN)

    def _chunks(self) -> Iterator[bytes]:
        while (chunk := self._call(self._stream.read, _CHUNK_BYTES)) != b"":
            if chunk is None:  # a pipe that does not block: Python reports no error, and the roster would end here
                self._refuse("it has nothing to read yet, and does not wait", "write it into a file first")
            self.bytes_read += len(chunk)
            yield chunk

    def _call(self, method: Callable[[int], T], argument: int) -> T:
        """Call a method of the stream. Raises `InvalidRoster` for an error of the system."""
        try:
            return method(argument)
        except OSError as error:
            self._refuse(f"it cannot be read: {error.strerror or error}", "check that the file is there and complete")

    def _refuse(self, value: str, remedy: str) -> NoReturn:
        raise InvalidRoster(self.name, value, remedy) from None


class _ChunkStream(io.RawIOBase):
    """Chunks of bytes as a stream, which gzip can read."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        chunk = self._rest or next(self._chunks, b"")
        target = memoryview(buffer)
        count = min(len(chunk), len(target))
        target[:count] = chunk[:count]
        self._rest = chunk[count:]
        return count


def _is_utf_8(head: bytes) -> bool:
    """Whether a UTF-8 text can begin with these bytes; they may end in the middle of a letter."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True
