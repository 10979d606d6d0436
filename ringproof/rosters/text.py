"""A file's lines as text: unpacked, decoded, and bounded, so that memory grows neither with a file nor with a line."""

import codecs
import io
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from hashlib import blake2b
from itertools import chain
from typing import BinaryIO, Final, NoReturn, TypeVar

from ringproof.errors import InvalidRoster

T = TypeVar("T")

LONGEST_LINE: Final = 65_536
"""Characters. A row of a roster has a hundred or two; a line of a gigabyte must not cost one."""

_CHUNK_BYTES = 65_536
_HEAD_BYTES = 65_536  # by which the encoding is guessed

_AS_UTF_8 = "save it as UTF-8: in a spreadsheet as “CSV UTF-8”; elsewhere iconv -f WINDOWS-1252 -t UTF-8"
_AS_TEXT = "give a text file: CSV with comma, semicolon or tab, or NDJSON; either may be packed with gzip"
_AS_CSV = "open it in the spreadsheet and save it as “CSV UTF-8”"
_AGAIN = "make it anew or copy it again; it is damaged"
_FORMATS = {
    b"PK\x03\x04": ("an Excel workbook, or another zip archive", _AS_CSV),
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": ("an old Excel workbook", _AS_CSV),
    b"%PDF-": ("a PDF", _AS_TEXT),
}
_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_CONTROLS = bytes(range(9)) + bytes(range(14, 26)) + bytes(range(28, 32)) + b"\x7f"


class Lines:
    """The lines of a binary stream, each with its end, which always is a line feed; to be iterated over once.

    gzip is unpacked, whatever the file's name. The encoding is what the first 64 KiB tell: a byte order mark, or
    else UTF-16 where at least every second byte is zero at one parity, or else UTF-8.

    A stream that can be read twice is: it is read through at once (0.2 s for a million rows), so that whatever is
    wrong with it is found before the first line is given out, and `fingerprint` is known. It raises `InvalidRoster`
    too if the second reading gives other bytes. With any other stream, errors come as they are met.
    """

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self.name = name
        self.encoding = "utf-8"
        self.fingerprint: str | None = None
        """A digest of the unpacked bytes; None before a stream that is read once has ended."""
        self.size: int | None = None
        """How many bytes there are to be read, as they lie on the disk; None of a stream that is read once."""
        self.bytes_read = 0
        """How many of them were."""
        self._stream = stream
        start = self._place()
        if start is not None:
            deque(self._reading(), maxlen=0)
            self._call(stream.seek, start)
            self.size, self.bytes_read = self.bytes_read, 0
        self._lines = self._reading()

    def __iter__(self) -> Iterator[str]:
        return self._lines

    def _place(self) -> int | None:
        """Return where the stream stands, if it can be brought back there."""
        try:
            return self._stream.tell() if self._stream.seekable() else None
        except OSError:
            return None

    def _reading(self) -> Iterator[str]:
        """Read the stream to its end."""
        digest = blake2b(digest_size=16)
        chunks = self._content()
        head = b""
        while len(head) < _HEAD_BYTES and (chunk := next(chunks, b"")):
            head += chunk
        self.encoding = self._guess_encoding(head)
        number, rest = 0, ""
        for text in self._decoded(chain((head,), chunks), digest):
            lines = list(io.StringIO(rest + text, newline="\n"))  # str.splitlines splits at form feeds, too
            rest = lines.pop() if lines and lines[-1][-1] != "\n" else ""
            if max(map(len, lines), default=0) > LONGEST_LINE or len(rest) > LONGEST_LINE:
                place = next(at for at, line in enumerate((*lines, rest), number + 1) if len(line) > LONGEST_LINE)
                self._refuse(
                    f"line {place} is longer than {LONGEST_LINE:,} characters", "put each row into a line of its own"
                )
            yield from lines
            number += len(lines)
        if rest:
            yield rest + "\n"
        if self.fingerprint not in {None, digest.hexdigest()}:
            self._refuse("it changed while it was read", "import it once nothing writes to it any more")
        self.fingerprint = digest.hexdigest()

    def _decoded(self, chunks: Iterator[bytes], digest: blake2b) -> Iterator[str]:
        """Decode the chunks, with every line's end made a line feed."""
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
                self._refuse(f"line {number} has a byte, 0x{byte:02X}, that is not {encoding}", _AS_UTF_8)
            number += text.count("\n")
            yield text

    def _guess_encoding(self, head: bytes) -> str:
        """Return the codec by the first bytes. Raises `InvalidRoster` if they are no text's."""
        for sign, (told, remedy) in _FORMATS.items():
            if head.startswith(sign):
                self._refuse(f"it is {told}", remedy)
        for mark, encoding in _MARKS.items():
            if head.startswith(mark):
                return encoding
        pairs = len(head) // 2
        even, odd = head[: 2 * pairs : 2].count(0), head[1 : 2 * pairs : 2].count(0)
        for zeros, others, encoding in ((odd, even, "utf-16-le"), (even, odd, "utf-16-be")):
            if zeros * 2 > pairs and others * 20 <= pairs:
                return encoding
        controls = len(head) - len(head.translate(None, _CONTROLS))
        if controls * 10 > len(head) or (controls * 100 > len(head) and not _is_utf_8(head)):
            self._refuse("it is no text file", _AS_TEXT)
        return "utf-8"

    def _content(self) -> Iterator[bytes]:
        """Return what the file holds, unpacked, in pieces of about 64 KiB."""
        chunks, head = self._chunks(), b""
        while len(head) < 2 and (chunk := next(chunks, b"")):  # a pipe may give a byte at a time
            head += chunk
        whole = chain((head,), chunks)
        return self._unpacked(whole) if head.startswith(b"\x1f\x8b") else whole

    def _unpacked(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Unpack gzip, of one member or several, a piece at a time, however much is in it."""
        inflate = zlib.decompressobj(wbits=31)
        for chunk in chunks:
            data, left = b"", chunk
            while left or len(data) == _CHUNK_BYTES:
                if inflate.eof:
                    left = left.lstrip(b"\0")  # padding, as on tapes
                    if not left:
                        break
                    inflate = zlib.decompressobj(wbits=31)
                try:
                    data = inflate.decompress(left, _CHUNK_BYTES)
                except zlib.error:
                    self._refuse("what gzip has packed is damaged", _AGAIN)
                if data:
                    yield data
                left = inflate.unconsumed_tail or inflate.unused_data
        if not inflate.eof:
            self._refuse("what gzip has packed ends in the middle", _AGAIN)

    def _chunks(self) -> Iterator[bytes]:
        while (chunk := self._call(self._stream.read, _CHUNK_BYTES)) != b"":
            if chunk is None:  # what is no error to Python would be the end of the roster
                self._refuse("it has nothing to read yet, and does not wait", "write it into a file first")
            self.bytes_read += len(chunk)
            yield chunk

    def _call(self, method: Callable[[int], T], argument: int) -> T:
        """Call a method of the stream. Raises `InvalidRoster` for what the system cannot do."""
        try:
            return method(argument)
        except OSError as error:
            self._refuse(f"it cannot be read: {error.strerror or error}", "see that it is there and whole")

    def _refuse(self, value: str, remedy: str) -> NoReturn:
        raise InvalidRoster(self.name, value, remedy) from None


def _is_utf_8(head: bytes) -> bool:
    """Tell whether these bytes begin a UTF-8 text, which may go on in the middle of a letter."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True
