"""Phone numbers as they may be shown: masked, in a message of ours or in the text of another."""

import re
import unicodedata
from typing import Final

import phonenumbers

_BLANK = r" \u00a0\u00ad\u2000-\u200b\u202f\u2060\u3000"
_DASH = r"\-\u2010-\u2015\u2212\u30fc\uff0d"

PUNCTUATION: Final = _BLANK + _DASH + r"./()\[\]~\uff08\uff09\uff0e\uff0f\uff3b\uff3d"
"""Characters, for use inside a character class, that people put between the digits of a number."""

LONGEST: Final = 64
"""Characters of a phone number as written: E.164 has 15 digits, and four characters to each is generous."""


_BULLETS = "•" * 7  # always as many, so that a mask does not tell the length


def mask(e164: str) -> str:
    """Return `+1•••••••23`: the country code, always seven bullets, the last two digits.

    Without a `+`, or with a code that is no country's, the bullets and two digits remain.
    """
    plus, digits = e164[:1] == "+", e164.removeprefix("+")
    codes = (digits[:length] for length in (1, 2, 3))
    code = next((c for c in codes if c.isdecimal() and int(c) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE), "")
    return f"{'+' + code if plus else ''}{_BULLETS}{digits[-2:]}"


def shown(text: object) -> str:
    """Return how a refused value may be shown: enough to find it again, not enough to dial it.

    With four digits or more, all letters and digits but the last two become bullets; with fewer, it is the
    repr, cut at 32 characters. Of a value that is neither text nor a plain number, only the type is named.
    """
    if isinstance(text, bytes):
        text = text[: LONGEST + 1].decode("latin-1")
    if text is None or isinstance(text, float) or (isinstance(text, int) and text.bit_length() <= 256):
        text = told = repr(text)
    elif isinstance(text, str):
        told = repr(text[:LONGEST])
    else:
        return f"<{type(text).__name__[:30]}>"
    head = text[:LONGEST]
    if sum(map(str.isnumeric, head)) < 4:
        if "•" in head and head.isprintable():
            return head if text == head else head + "…"
        return told if len(told) <= 32 else told[:31] + "…"
    last = [place for place, letter in enumerate(head) if letter.isalnum()][-2:]
    bullets = "".join(
        letter if place in last or letter in "+()-." else " " if letter.isspace() else "•"
        for place, letter in enumerate(head)
    )
    return bullets if text == head else bullets + "…"


_GAP = rf"(?:[{_BLANK}{_DASH}./]|[{_BLANK}{_DASH}.]?\(|\)[{_BLANK}{_DASH}.]?\(?)"


_EDGE = r"(?<![\dA-Za-z%\\])"  # what follows a % or a backslash may be an escape


_END = r"(?![\dA-Za-z])"


_TIME = r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,9})?)?"


_MOMENT = (
    r"(?<!\d)(?:(?:19|20)[0-9]{2}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
    rf"(?:[T ]{_TIME}(?:Z|[+-][0-9]{{2}}:?[0-9]{{2}})?)?|(?:19|20)[0-9]{{6}}T[0-9]{{4,6}}Z?|{_TIME})(?!\d)"
)


_UUID = rf"{_EDGE}[0-9a-fA-F]{{8}}(?:-[0-9a-fA-F]{{4}}){{3}}-[0-9a-fA-F]{{12}}{_END}"


_HEX = (  # but "x4155550123e" and "4155550123E0" are numbers
    rf"0[xX][0-9a-fA-F]+|{_EDGE}(?=[0-9]*[a-fA-F])"
    rf"(?![a-fA-F]*[0-9]{{8,15}}(?:[a-fA-F]+|[eE][0-9]{{1,2}})?{_END})[0-9a-fA-F]{{8,}}{_END}"
)


_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"


_IP = rf"(?<![\d.]){_OCTET}(?:\.{_OCTET}){{3}}(?::[0-9]{{1,5}})?(?!\.?\d)"


_MEASURE = (  # fractions, durations, versions, process ids; but 1.4155550123E+10 is a number
    r"(?<![\d.])(?:0\.[0-9]+|[0-9]{1,3}\.[0-9]{1,6}|[0-9]{1,6}\.[0-9]+(?=(?:[eE]-[0-9]+)?[ ]?(?:s|ms|seconds)\b)"
    rf"|[1-9]?[0-9]\.[1-9]?[0-9]\.[0-9]{{1,6}})(?:[eE]-[0-9]{{1,3}})?(?!{_GAP}?\d|[eE])"
    r"|\b(?i:pid)[ =:]{1,2}[0-9]{1,7}(?!\d)"
)


_TELLTALE = re.compile(
    rf"""(?P<keep>\+\d{{0,3}}{_BULLETS}\d\d(?:/1[6-9][0-9]{{8}}(?!\d))?|{_BULLETS}\d\d
             |{_MOMENT}|{_UUID}|{_HEX}|{_IP}|{_MEASURE})
      | \+(?P<named>\d{{6,15}})(?P<request>/1[6-9][0-9]{{8}})(?!\d)
      | (?:[+\uff0b]|%2[Bb])(?P<plus>[{PUNCTUATION}]{{0,2}}\d
            (?:(?:[{PUNCTUATION}]{{1,3}}(?!{_MOMENT}|{_UUID}))?\d){{5,}})
      | (?:\((?=\d{{1,5}}\)))?(?P<bare>\d(?:(?:{_GAP}(?!{_MOMENT}|{_UUID}|{_HEX}|{_IP}))?\d){{6,}})""",
    re.VERBOSE,
)


def redact(text: str) -> str:
    """Return the text with everything masked that looks like a phone number; the second line, for logs.

    That is six digits and more after a `+` or `%2B`, and seven and more without, in the notations of people.
    Ids, addresses, dates, times, versions and fractions stay, and so does the request in
    `+14155550123/1764000000` (until 2033). In doubt it masks: a count of ten million goes, too. Idempotent.
    Linear in the length: 50 µs for a line of 120 characters.
    """
    return _TELLTALE.sub(_veiled, text)


def _veiled(found: re.Match[str]) -> str:
    """Return what stands in the place of a find."""
    if found["keep"]:
        return found[0]
    number = found["named"] or found["plus"] or found["bare"]
    digits = "".join(str(unicodedata.decimal(sign)) for sign in number if sign.isdecimal())
    return mask(digits if found["bare"] else "+" + digits) + (found["request"] or "")


def shorten(text: str, size: int = 64) -> str:
    """Cut a text to `size` bytes of UTF-8, between two characters. A record keeps texts of up to 64 bytes packed."""
    return text.encode("utf-8", "replace")[:size].decode("utf-8", "ignore")
