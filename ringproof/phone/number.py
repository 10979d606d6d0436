"""Read a phone number as people write it, and choose the channel that reaches it.

This module keeps four habits of the phonenumbers library away from its callers. The library reads vanity letters as
digits, drops an extension silently, finds a number anywhere in a text, and accepts numbers that work only locally.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

import phonenumbers
from phonenumbers import NumberParseException

from ringproof.errors import InvalidNumber, InvalidRequest
from ringproof.phone.caller_id import is_empty
from ringproof.phone.masking import (
    LONGEST,
    PUNCTUATION,
    mask,
    mask_value,
)
from ringproof.phone.number_plan import NumberKind, classify, plan_of

CHANNELS: Final = ("sms", "call", "auto")


_NUMBER = re.compile(rf"[{PUNCTUATION}]*[+\uff0b]?[\d{PUNCTUATION}]*\d[\d{PUNCTUATION}]*")
_INTERNATIONAL = re.compile(r"\+(?:[ ()-]{0,2}[0-9]){7,15}")
_WITHOUT_SIGNS = str.maketrans("", "", "+ ()-")
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


_ACCEPTED = frozenset({NumberKind.LANDLINE, NumberKind.EITHER, NumberKind.MOBILE, NumberKind.OTHER})


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


def parse(text: object, region: str | None = None) -> PhoneNumber:
    """Read a number as people write it; `region` (US, gb) replaces a missing country code.

    Nothing is repaired: a text that could mean another number is refused. Only the apostrophe with which spreadsheets
    mark a text is dropped. It takes 5 µs for a number with a `+` and the usual signs, and at most 50 µs for any input.

    Raises `InvalidNumber` with the reason, and `InvalidRequest` for an unknown region, even if the number does not
    need one.

    >>> parse("+1 (415) 555-2671").e164
    '+14155552671'
    >>> parse("020 7946 0958", "GB")
    PhoneNumber(+44•••••••58, GB)
    """
    home = check_region(region) if region else None
    if not isinstance(text, str):
        raise InvalidNumber("not_a_number", mask_value(text))
    if len(text) > LONGEST:
        raise InvalidNumber("too_long", mask_value(text))
    written = text.strip().removeprefix("'").lstrip()
    if _INTERNATIONAL.fullmatch(written):
        digits = written.translate(_WITHOUT_SIGNS)
        if country_and_kind := classify(digits):
            return _accepted("+" + digits, *country_and_kind, text)
    if reason := _why_not_plain(written):
        raise InvalidNumber(reason, mask_value(text))
    if written[:4].lower() == "tel:":
        written = written[4:].lstrip()
    try:
        number = phonenumbers.parse(written, home)
    except NumberParseException as error:
        raise InvalidNumber(_why_unreadable(error, written, home), mask_value(text)) from None
    if number.extension:
        raise InvalidNumber("extension", mask_value(text))
    national = phonenumbers.national_significant_number(number)
    return _accepted(f"+{number.country_code}{national}", *plan_of(number.country_code).classify(national), text)


def _accepted(e164: str, country: str, kind: NumberKind, text: str) -> PhoneNumber:
    """Return the number. Raises `InvalidNumber` for a kind of number that gets no codes."""
    if kind not in _ACCEPTED:
        raise InvalidNumber(kind, mask_value(text))
    return PhoneNumber(e164, country, kind is NumberKind.LANDLINE)


def check_region(region: str) -> str:
    """Return the region in capitals. Raises `InvalidRequest` if phonenumbers does not know it."""
    home = region.upper()
    if not region.isascii() or home not in phonenumbers.SUPPORTED_REGIONS:
        raise InvalidRequest(
            "region", mask_value(region), "name the country by its two ISO 3166 letters, such as 'US' or 'GB'"
        )
    return home


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


def _why_unreadable(error: NumberParseException, written: str, home: str | None) -> str:
    """Return the reason why phonenumbers could not read a text."""
    if error.error_type == NumberParseException.INVALID_COUNTRY_CODE:
        # Without a region, "00" or "011" would be a guess: each country dials another prefix.
        return "invalid" if home or "+" in written or "\uff0b" in written else "no_country"
    return "not_a_number" if error.error_type == NumberParseException.NOT_A_NUMBER else "impossible"


def check_channel(channel: object) -> str:
    """Return the channel in lower case; an empty one is `sms`. Raises `InvalidRequest` if no channel has this name.

    >>> check_channel("Call"), check_channel("")
    ('call', 'sms')
    """
    if is_empty(channel):
        return "sms"
    name = channel.strip().lower() if isinstance(channel, str) else None
    if name not in CHANNELS:
        raise _unknown(channel)
    return name


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
