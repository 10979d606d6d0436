"""Drop the marks around and inside a number that no person writes: invisible ones, and those of spreadsheets."""

import re
from typing import Final

BLANKS: Final = r" \t\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
"""Every blank of Unicode (Zs) and the tab, for use inside a character class."""

INVISIBLE: Final = r"\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202d\u2060-\u2064\u2066-\u2069\ufeff\ufffc"
"""Marks that telephones, messengers and mail programs copy along with a number, for use inside a character class.

U+202E is not among them: it turns the digits after it around, so that a person sees another number.
"""

_QUOTES: Final = ('""', "''", "“”", "„“", "””", "‘’", "«»", "»«", "＂＂")
_MOST_LAYERS: Final = 3  # ="'+1…"
_ORDINARY = re.compile(r"[0-9+( ][0-9+() ./-]*")
_BLANK, _MARK = re.compile(f"[{BLANKS}]"), re.compile(f"[{INVISIBLE}]")


def without_marks(text: str) -> str:
    """Return a text without such marks, and with plain spaces for its blanks.

    Spreadsheets mark a text as `="…"`, with a pair of quotes around it, or with an apostrophe in front.

    >>> without_marks('="+1 415 555 0123"')
    '+1 415 555 0123'
    """
    if _ORDINARY.fullmatch(text):
        return text.strip()
    text = _BLANK.sub(" ", _MARK.sub("", text)).strip()
    for _ in range(_MOST_LAYERS):
        inner = text[1:].lstrip() if text[:1] == "=" else text
        if len(inner) > 1 and inner[0] + inner[-1] in _QUOTES:
            text = inner[1:-1].strip()
        elif text[:1] in {"'", "’"}:
            text = text[1:].lstrip()
        else:
            break
    return text
