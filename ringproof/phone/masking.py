"""How a phone number may be shown: masked, in the project's own messages and in any other text."""

import re
import unicodedata
from functools import cache, lru_cache
from typing import Final

from ringproof.phone.text_marks import BLANKS, INVISIBLE

_BLANK = BLANKS + INVISIBLE
_DASH = r"\-\u2010-\u2015\u2212\u30fc\uff0d"

PUNCTUATION: Final = _BLANK + _DASH + r"./()\[\]~\uff08\uff09\uff0e\uff0f\uff3b\uff3d"
"""Characters, for use inside a character class, that people put between the digits of a number."""

LONGEST: Final = 64
"""Characters of a phone number as written: E.164 has 15 digits, and four characters to each is generous."""
_BULLETS = "•" * 7  # always as many, so that a mask does not show the length


def mask(e164: str) -> str:
    """Return a number as logs and terminals may show it: its country code, seven bullets, its last two digits.

    Without a `+`, or with a code that belongs to no country, the bullets and two digits remain.

    >>> mask("+14155550123")
    '+1•••••••23'
    >>> mask("+442079460958")
    '+44•••••••58'
    """
    plus, digits = e164[:1] == "+", e164.removeprefix("+")
    return f"{'+' + _calling_code(digits[:3]) if plus else ''}{_BULLETS}{digits[-2:]}"


def mask_reading(e164: str) -> str:
    """Return a number of a country as one of two that a text may be: masked, with a bullet for each digit.

    >>> mask_reading("+491716783154"), mask_reading("+49491716783154")
    ('+49 ••••••••54', '+49 ••••••••••54')
    """
    code = _calling_code(e164[1:4])
    return f"+{code} {'•' * (len(e164) - len(code) - 3)}{e164[-2:]}"


@lru_cache(1000)  # one for each beginning of a number
def _calling_code(three_digits: str) -> str:
    """Return the calling code at the beginning of a number, or nothing if it belongs to no country."""
    from phonenumbers import COUNTRY_CODE_TO_REGION_CODE as COUNTRIES  # noqa: PLC0415  # 20 ms, and few mask

    codes = (three_digits[:length] for length in (1, 2, 3))
    return next((c for c in codes if c.isdecimal() and int(c) in COUNTRIES), "")


def mask_value(value: object) -> str:
    """Return how an error may show a refused value: enough to find it again, not enough to dial it.

    With four digits or more, all letters and digits except the last two become bullets. With fewer, the result is the
    repr, cut at 32 characters. If the value is neither text nor a plain number, the result names its type only.

    >>> mask_value("+1 (415) 555-0123")
    '+• (•••) •••-••23'
    >>> mask_value("hello")
    "'hello'"
    >>> mask_value({"phone": "+14155550123"})
    '<dict>'
    """
    if isinstance(value, bytes):
        value = value[: LONGEST + 1].decode("latin-1")
    if value is None or isinstance(value, float) or (isinstance(value, int) and value.bit_length() <= 256):
        text = literal = repr(value)
    elif isinstance(value, str):
        text, literal = value, repr(value[:LONGEST])
    else:
        return f"<{type(value).__name__[:30]}>"
    head = text[:LONGEST]
    if sum(map(str.isnumeric, head)) < 4:
        if "•" in head and head.isprintable():
            return head if text == head else head + "…"
        return literal if len(literal) <= 32 else literal[:31] + "…"
    last = [place for place, letter in enumerate(head) if letter.isalnum()][-2:]
    bullets = "".join(
        letter if place in last or letter in "+()-." else " " if letter.isspace() else "•"
        for place, letter in enumerate(head)
    )
    return bullets if text == head else bullets + "…"


_GAP = rf"(?:[{_BLANK}{_DASH}./]|[{_BLANK}{_DASH}.]?\(|\)[{_BLANK}{_DASH}.]?\(?)"
_EDGE = r"(?<![\dA-Za-z%\\])(?<!\d\.)"  # what follows a % or a backslash may be an escape
_END = r"(?![\dA-Za-z])"
_TIME = r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,9})?)?"
_MOMENT = (
    r"(?<!\d)(?:(?:19|20)[0-9]{2}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
    rf"(?:[T ]{_TIME}(?:Z|[+-][0-9]{{2}}:?[0-9]{{2}})?)?|(?:19|20)[0-9]{{6}}T[0-9]{{4,6}}Z?|{_TIME})(?!\d)"
)
_UUID = rf"{_EDGE}[0-9a-fA-F]{{8}}(?:-[0-9a-fA-F]{{4}}){{3}}-[0-9a-fA-F]{{12}}{_END}"
_HEX = (  # but "x4155550123e" and "4155550123E0" are numbers
    rf"(?<!\d\.)0[xX][0-9a-fA-F]+|{_EDGE}(?=[0-9]*[a-fA-F])"
    rf"(?![a-fA-F]*[0-9]{{8,15}}(?:[a-fA-F]+|[eE][0-9]{{1,2}})?{_END})[0-9a-fA-F]{{8,}}{_END}"
)
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IP = rf"(?<![\d.]){_OCTET}(?:\.{_OCTET}){{3}}(?::[0-9]{{1,5}})?(?!\.?\d)"
_MEASURE = (  # fractions, durations, versions, process ids; but 1.4155550123E+10 is a number
    r"(?<![\d.])(?:0\.[0-9]+|[0-9]{1,3}\.[0-9]{1,6}|[0-9]{1,6}\.[0-9]+(?=(?:[eE]-[0-9]+)?[ ]?(?:s|ms|seconds)\b)"
    rf"|[1-9]?[0-9]\.[1-9]?[0-9]\.[0-9]{{1,6}})(?:[eE]-[0-9]{{1,3}})?(?!{_GAP}?\d|[eE])"
    r"|\b(?i:pid)[ =:]{1,2}[0-9]{1,7}(?!\d)"
)
# `few`: too few digits for a number, and then an id or the like. They are passed over together: a match that began in
# the middle of them could take the beginning of that id away, and its rest would be masked, but only the second time.
_NUMBER_OR_NOT = rf"""(?P<keep>\+\d{{0,3}}{_BULLETS}\d\d(?:/1[6-9][0-9]{{8}}(?!\d))?|{_BULLETS}\d\d
             |{_MOMENT}|{_UUID}|{_HEX}|{_IP}|{_MEASURE})
      | \+(?P<named>\d{{6,15}})(?P<request>/1[6-9][0-9]{{8}})(?!\d)
      | (?:[+\uff0b]|%2[Bb])(?P<plus>[{PUNCTUATION}]{{0,2}}\d
            (?:(?:[{PUNCTUATION}]{{1,3}}(?!{_MOMENT}|{_UUID}))?\d){{5,}})
      | (?:\((?=\d{{1,5}}\)))?(?P<bare>\d(?:(?:{_GAP}(?!{_MOMENT}|{_UUID}|{_HEX}|{_IP}))?\d){{6,}})
      | (?P<few>\d(?:{_GAP}?\d){{,5}}(?={_GAP}(?:{_MOMENT}|{_UUID}|{_HEX}|{_IP})))"""


def redact(text: str) -> str:
    """Mask everything in a text that looks like a phone number; the last safeguard of the logs.

    A phone number is six digits or more after a `+` or `%2B`, or seven or more without, in any usual notation. Ids,
    addresses, dates, times, versions and fractions stay, and so does the request in `+14155550123/1764000000` (until
    2033). In doubt it masks: a count of ten million is masked, too. The result stays as it is if it is redacted again.
    The time is linear in the length: 50 µs for a line of 120 characters, and 1 µs if it has no six digits together.

    >>> redact("sent to +1 (415) 555-0123 in 183 ms")
    'sent to +1•••••••23 in 183 ms'
    >>> redact("GET /v1/VerifiedCallerId/14155550123/ 200")
    'GET /v1/VerifiedCallerId/•••••••23/ 200'
    """
    return _number_or_not().sub(_replacement, text) if _six_digits().search(text) else text


@cache
def _six_digits() -> re.Pattern[str]:
    """Compile what each number has, and most lines of a worker have not: it is found much sooner than a number is."""
    return re.compile(rf"\d(?:[{PUNCTUATION}]{{0,3}}\d){{5}}")


@cache
def _number_or_not() -> re.Pattern[str]:
    """Compile the pattern at its first use: it takes 5 ms, and a program that only enqueues numbers logs nothing."""
    return re.compile(_NUMBER_OR_NOT, re.VERBOSE)


def _replacement(match: re.Match[str]) -> str:
    """Return the text that replaces a match: a mask for a number, and the same text for anything else."""
    if match["keep"] or match["few"]:
        return match[0]
    number = match["named"] or match["plus"] or match["bare"]
    digits = "".join(str(unicodedata.decimal(sign)) for sign in number if sign.isdecimal())
    return mask(digits if match["bare"] else "+" + digits) + (match["request"] or "")


def shorten(text: str, size: int = 64) -> str:
    """Cut a text to `size` bytes of UTF-8, between two characters. A record keeps texts of up to 64 bytes packed."""
    return text.encode("utf-8", "replace")[:size].decode("utf-8", "ignore")
