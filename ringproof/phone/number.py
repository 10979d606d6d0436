"""Read a phone number as people write it, and choose the channel that reaches it.

This module keeps five habits of the phonenumbers library away from its callers. The library reads vanity letters as
digits, drops an extension silently, finds a number anywhere in a text, and accepts numbers that work only locally.
Digits that lost their `+` it reads as another person's number, if the home country has such a number.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from numbers import Integral
from typing import Final, Literal, NamedTuple, cast, get_args

import phonenumbers
from phonenumbers import NumberParseException

from ringproof.errors import InvalidNumber, InvalidRequest
from ringproof.phone.caller_id import is_empty
from ringproof.phone.masking import LONGEST, PUNCTUATION, mask, mask_reading, mask_value
from ringproof.phone.number_plan import NOT_IN_USE, HomePlan, NumberKind, classify, plan_of
from ringproof.phone.text_marks import without_marks

Channel = Literal["sms", "call", "auto"]
"""How a code is to reach a number: `auto` calls a landline, and texts all other numbers."""

CHANNELS: Final = get_args(Channel)

WrittenNumber = str | phonenumbers.PhoneNumber
"""A number as a program gives it: as a person writes it, or as the phonenumbers library has read it."""


_NUMBER = re.compile(rf"[{PUNCTUATION}]*[+\uff0b]?[\d{PUNCTUATION}]*\d[\d{PUNCTUATION}]*")
_USUAL = re.compile(r"\+?(?:[ ()-]{0,2}[0-9]){7,15}")
_SIGNS: Final = b"+ ()-"
_QUANTITY = re.compile(
    r"""[+-]?\d+(?:[.,]\d*)?[eE][+-]?\d{1,3}   # 1.41555E+10; 1,41555E+10 where a comma is the decimal point
      | [+-]?\d{5,}[.,]0+                      # 14155550123.0
      | [+-]?\d{1,3}(?:,\d{3}){2,}(?:\.0+)?    # 14,155,550,123""",
    re.VERBOSE,
)
_EXTENSION = re.compile(
    r"""(?<=[\d)])[\s,.;-]*(?:(?:ext(?:n|ension|ensi\u00f3n)?|e?xtn|x|\uff58|int|anexo|доб|[#\uff03~,;])[\s:.=-]*\d{1,20}\#?
      | [ -]\d{1,6}\#)$""",
    re.VERBOSE | re.IGNORECASE,
)


_ACCEPTED = frozenset(
    {NumberKind.PERSONAL, NumberKind.LANDLINE, NumberKind.EITHER, NumberKind.MOBILE, NumberKind.OTHER}
)

MIN_DIGITS: Final = 7
MAX_DIGITS: Final = 15
"""Digits of an E.164 number, and of the shortest in use."""

MEXICO: Final = 52
"""The calling code after which WhatsApp still writes a 1 that Mexico gave up in 2019. No number there begins with 1."""


class _Reading(NamedTuple):
    """A number as a text may be read."""

    e164: str
    country: str
    kind: NumberKind


@dataclass(frozen=True, slots=True)
class PhoneNumber:
    """A number that is in use by its country's plan: E.164, such as `+14155550123`, its country and its kind.

    `country` is ISO 3166 alpha-2, or `001` if the code belongs to no country. `landline` is True only for a certain
    landline: it is False in all of the United States and Canada, where a mobile looks the same. The repr is masked.
    """

    e164: str
    country: str
    landline: bool

    def __repr__(self) -> str:
        return f"PhoneNumber({mask(self.e164)}, {self.country})"


def parse(text: object, region: str | None = None, *, plus: bool = False) -> PhoneNumber:
    """Read a number as people write it; `region` (US, gb) replaces a missing country code.

    Nothing is repaired: a text that could mean another number is refused. Only marks that no person writes are
    dropped: invisible ones, and those with which spreadsheets mark a text. Without a region, digits in one run may be a
    whole number without its `+`. With `plus`, a text that begins with 1 to 9 is a number without its `+`. A number of
    the phonenumbers library is read, too. It takes 5 µs for a number with a `+` and the usual signs, and at most
    100 µs for any input.

    Raises `InvalidNumber` with the reason, and `InvalidRequest` for an unknown region, even if the number does not
    need one.

    >>> parse("+1 (415) 555-2671").e164
    '+14155552671'
    >>> parse("020 7946 0958", "GB")
    PhoneNumber(+44•••••••58, GB)
    >>> parse("447400 123456", "US", plus=True)
    PhoneNumber(+44•••••••56, GB)
    """
    home = _home_of(region) if region else None
    if not isinstance(text, str):
        text = _text_of(text)
    if len(text) > LONGEST:
        raise InvalidNumber("too_long", mask_value(text))
    written = text.strip()
    if number := _read_quickly(written, None if plus else home, text):
        return number
    plain = without_marks(written)
    if plus and _begins_like_a_country_code(plain):
        plain = "+" + plain
    if plain != written and (number := _read_quickly(plain, None if plus else home, text)):
        return number
    return _read_thoroughly(plain, home, text)


def is_personal(e164: str) -> bool:
    """Return whether this is a personal number, which may forward to any other one: it gets codes only if it is named.

    >>> is_personal("+447012345678"), is_personal("+447400123456")
    (True, False)
    """
    reading = _international(e164[1:])
    return reading is not None and reading.kind is NumberKind.PERSONAL


def looks_like_lost_plus(text: object) -> bool:
    """Return whether a text is an international number but for its `+`: `parse` would read it with `plus`."""
    if not isinstance(text, str) or not _begins_like_a_country_code(without_marks(text)):
        return False
    try:
        parse(text, plus=True)
    except InvalidNumber:
        return False
    return True


def _text_of(value: object) -> str:
    """Return a number of the phonenumbers library as text. Raises `InvalidNumber` for any other value."""
    if isinstance(value, phonenumbers.PhoneNumber):
        if value.country_code and value.national_number is not None:
            e164 = phonenumbers.format_number(value, phonenumbers.PhoneNumberFormat.E164)
            if value.extension:
                raise InvalidNumber("extension", mask_value(e164))
            return e164
        if value.raw_input:  # django-phonenumber-field keeps what it could not read
            return value.raw_input
    is_integer = isinstance(value, Integral) and not isinstance(value, bool)
    raise InvalidNumber("not_text" if is_integer else "not_a_number", mask_value(value))


def _read_quickly(written: str, home: HomePlan | None, text: str) -> PhoneNumber | None:
    """Return a number that has the usual signs alone, or None if phonenumbers has to read it."""
    if not _USUAL.fullmatch(written):
        return None
    digits = written.encode().translate(None, _SIGNS).decode()  # a third of the time of str.translate
    if written[0] == "+":
        country_and_kind = classify(digits)
        if country_and_kind is None or _is_old_mexican(digits):
            return None
        return _accepted("+" + digits, *country_and_kind, text)
    reading = home.read(digits) if home else None
    return _accepted("+" + reading[0], *reading[1:], text) if reading else None


def _read_thoroughly(written: str, home: HomePlan | None, text: str) -> PhoneNumber:
    """Return a number in any notation, as phonenumbers reads it. Raises `InvalidNumber`."""
    if reason := _why_not_plain(written):
        raise InvalidNumber(reason, mask_value(text))
    if written[:4].lower() == "tel:":
        written = written[4:].lstrip()
    if not home and written.isdecimal() and (whole := _international(_digits_of(written))):
        return _accepted(*whole, text)
    try:
        number = phonenumbers.parse(written, home.region if home else None)
    except NumberParseException as error:
        raise InvalidNumber(_why_unreadable(error, written, has_region=home is not None), mask_value(text)) from None
    if number.extension:
        raise InvalidNumber("extension", mask_value(text))
    reading = _reading_of(number, written)
    if home and not _has_plus(written) and reading.kind not in NOT_IN_USE:
        _refuse_lost_plus(reading, written, home.code, text)
    return _accepted(*reading, text)


def _accepted(e164: str, country: str, kind: NumberKind, text: str) -> PhoneNumber:
    """Return the number. Raises `InvalidNumber` for a kind of number that gets no codes."""
    if kind not in _ACCEPTED:
        raise InvalidNumber(kind, mask_value(text))
    return PhoneNumber(e164, country, kind is NumberKind.LANDLINE)


def _refuse_lost_plus(reading: _Reading, written: str, code: str, text: str) -> None:
    """Raise `InvalidNumber` if these digits would be another number with a `+` in front.

    That is so for the home country's own calling `code`, also behind a 0. Behind 00 it is so for any calling code.
    """
    digits = _digits_of(written)
    if digits == reading.e164[1:]:
        return
    if digits.startswith("00"):
        other = _international(digits[2:])
    elif digits.startswith((code, "0" + code)) and not (code == "1" and digits.startswith("011")):  # a call abroad
        other = _international(digits.removeprefix("0"))
    else:
        return
    if other and other.e164 != reading.e164:
        raise InvalidNumber("ambiguous", mask_value(text), mask_reading(reading.e164), mask_reading(other.e164))


def _international(digits: str) -> _Reading | None:
    """Return digits as the whole number that they are without their `+`; None if no such number is in use."""
    if not MIN_DIGITS <= len(digits) <= MAX_DIGITS:
        return None
    country_and_kind = classify(digits)
    if country_and_kind and not _is_old_mexican(digits):
        reading = _Reading("+" + digits, *country_and_kind)
    else:
        try:
            reading = _reading_of(phonenumbers.parse("+" + digits), digits)
        except NumberParseException:
            return None
    return None if reading.kind in NOT_IN_USE else reading


def _reading_of(number: phonenumbers.PhoneNumber, written: str) -> _Reading:
    """Return the number that phonenumbers has read in a text."""
    national = phonenumbers.national_significant_number(number)
    code = number.country_code
    if code == MEXICO and _is_old_mexican(_digits_of(written).lstrip("0")):
        national = national[1:]
    return _Reading(f"+{code}{national}", *plan_of(code).classify(national))


def _is_old_mexican(digits: str) -> bool:
    return len(digits) == 13 and digits.startswith(f"{MEXICO}1")


def _digits_of(written: str) -> str:
    """Return a text's digits of any script as 0 to 9."""
    return "".join(str(unicodedata.decimal(sign)) for sign in written if sign.isdecimal())


def _has_plus(written: str) -> bool:
    return "+" in written or "\uff0b" in written


def _begins_like_a_country_code(written: str) -> bool:
    return unicodedata.decimal(written[:1] or "0", 0) > 0


@cache
def _home_of(region: str) -> HomePlan:
    return HomePlan(check_region(region))


def check_region(region: str) -> str:
    """Return the region in capitals. Raises `InvalidRequest` if phonenumbers does not know it."""
    home = region.upper()
    if not region.isascii() or home not in phonenumbers.SUPPORTED_REGIONS:  # "ıt".upper() is "IT"
        raise InvalidRequest(
            "region", mask_value(region), "name the country by its two ISO 3166 letters, such as 'US' or 'GB'"
        )
    return home


def optional_region(region: object) -> str | None:
    """Return the region that a caller gave, or None for an empty field. Raises `InvalidRequest` if it is no text."""
    if region is not None and not isinstance(region, str):
        raise InvalidRequest("region", mask_value(region), "a country's two letters, such as 'US'")
    return None if is_empty(region) else region


def _why_not_plain(written: str) -> str | None:
    """Return why this text is no plain number, although phonenumbers might find one in it; None if it is plain."""
    if _QUANTITY.fullmatch(written):
        return "excel_number"
    plain = written[4:] if written[:4].lower() == "tel:" else written
    if not any(map(str.isdecimal, plain)):
        return "not_a_number"
    if _EXTENSION.search(plain):
        return "extension"
    if any(map(str.isalpha, plain)) and plain.isprintable():
        return "letters"
    return None if _NUMBER.fullmatch(plain) else "not_a_number"


def _why_unreadable(error: NumberParseException, written: str, *, has_region: bool) -> str:
    """Return the reason why phonenumbers could not read a text."""
    if error.error_type == NumberParseException.INVALID_COUNTRY_CODE:
        # Without a region, "00" or "011" would be a guess: each country dials another prefix.
        return "invalid" if has_region or "+" in written or "\uff0b" in written else "no_country"
    return "not_a_number" if error.error_type == NumberParseException.NOT_A_NUMBER else "impossible"


def check_channel(channel: object) -> Channel:
    """Return the channel in lower case; an empty one is `sms`. Raises `InvalidRequest` if no channel has this name.

    >>> check_channel("Call"), check_channel("")
    ('call', 'sms')
    """
    if is_empty(channel):
        return "sms"
    name = channel.strip().lower() if isinstance(channel, str) else None
    if name is None or name not in CHANNELS:
        raise _unknown(channel)
    return cast("Channel", name)


def _unknown(channel: object) -> InvalidRequest:
    return InvalidRequest("channel", mask_value(channel), "'sms', 'call' or 'auto'")


def channel_for(number: PhoneNumber, channel: str) -> Literal["sms", "call"]:
    """Return the channel that reaches this number: `auto` calls a landline and texts all others.

    `channel` is one that `check_channel` has returned. Raises `InvalidNumber` for a text to a landline, and
    `InvalidRequest` for an unknown channel.

    >>> channel_for(parse("+493012345678"), "auto")
    'call'
    """
    if channel not in CHANNELS:
        raise _unknown(channel)
    if channel == "call" or (channel == "auto" and number.landline):
        return "call"
    if number.landline:
        raise InvalidNumber("landline_sms", mask(number.e164))
    return "sms"
