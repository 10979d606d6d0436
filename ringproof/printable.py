"""Texts of others in a terminal or a log: what is not printable becomes a replacement character.

An escape sequence in an alias, an error of Plivo's or a cell of a roster could otherwise write over lines, change a
terminal's title or colours, or put a false line into a log.
"""

import unicodedata
from typing import Final

REPLACEMENT: Final = "\ufffd"

JOINERS: Final = "\u200c\u200d\u200e\u200f\ufe0e\ufe0f"
"""Marks within words of many scripts and within emoji. They turn nothing around, as overrides and isolates do."""


def printable(text: str, *, keep: str = "") -> str:
    r"""Return the text with a replacement character for each one that does not print. Those in `keep` stay.

    >>> printable("Front\x1b[31m desk\n"), printable("Ada\u202e!"), printable("one\ntwo\x07", keep="\n")
    ('Front�[31m desk�', 'Ada�!', 'one\ntwo�')
    """
    if text.isprintable():
        return text
    return "".join(sign if _is_printed(sign) or sign in keep else REPLACEMENT for sign in text)


def escaped(json: str) -> str:
    r"""Return a line of JSON with `\u009b` for what does not print. It says the same to a program.

    >>> escaped('{"alias": "\x9b31m"}')
    '{"alias": "\\u009b31m"}'
    """
    if json.isprintable():
        return json
    return "".join(sign if _is_printed(sign) else _escape(sign) for sign in json)


def _is_printed(sign: str) -> bool:
    return sign.isprintable() or sign in JOINERS or unicodedata.category(sign) == "Zs"


def _escape(sign: str) -> str:
    units = sign.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
