"""From whatever people write to a phone number, the channel that reaches it, and the ways not to show it.

Four traits of the phonenumbers library are held off here: it reads vanity letters as digits, drops an
extension without a word, finds a number anywhere in a text, and calls possible what is dialled only locally.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

import phonenumbers
from phonenumbers import NumberParseException

from ringproof.errors import InvalidNumber, InvalidRequest
from ringproof.phone.masking import (
    LONGEST,
    PUNCTUATION,
    mask,
    mask_value,
)
from ringproof.phone.number_plan import Kind, look_up, plan_of

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


_TAKEN = frozenset({Kind.LANDLINE, Kind.EITHER, Kind.MOBILE, Kind.OTHER})


@dataclass(frozen=True, slots=True)
class PhoneNumber:
    """A number in use by its country's plan: E.164, such as `+14155550123`, and what the plan tells about it.

    `country` is ISO 3166 alpha-2, or `001` where the code belongs to no country. `landline` means surely one:
    all of the United States and Canada is False, as a mobile there looks no different. The repr is masked.
    """

    e164: str
    country: str
    landline: bool

    def __repr__(self) -> str:
        return f"PhoneNumber({mask(self.e164)}, {self.country})"


def parse(text: object, region: str | None = None) -> PhoneNumber:
    """Read a number as people write it; a `region` (US, gb) stands in where it has no country code.

    Raises `InvalidNumber` with a reason, for anything that could be another number than was meant: nothing is
    repaired. The apostrophe with which spreadsheets mark a text is no damage, and is dropped. Raises
    `InvalidRequest` for an unknown region, even where it is not needed. Takes 50 µs, for hostile input too, and 5 µs
    where a `+` and the usual signs leave nothing to be found out.
    """
    home = check_region(region) if region else None
    if not isinstance(text, str):
        raise InvalidNumber("not_a_number", mask_value(text))
    if len(text) > LONGEST:
        raise InvalidNumber("too_long", mask_value(text))
    written = text.strip().removeprefix("'").lstrip()
    if _INTERNATIONAL.fullmatch(written):
        digits = written.translate(_WITHOUT_SIGNS)
        if found := look_up(digits):
            return _of_a_kind("+" + digits, *found, text)
    if reason := _disguise(written):
        raise InvalidNumber(reason, mask_value(text))
    if written[:4].lower() == "tel:":
        written = written[4:].lstrip()
    try:
        number = phonenumbers.parse(written, home)
    except NumberParseException as error:
        raise InvalidNumber(_reason(error, written, home), mask_value(text)) from None
    if number.extension:
        raise InvalidNumber("extension", mask_value(text))
    national = phonenumbers.national_significant_number(number)
    return _of_a_kind(f"+{number.country_code}{national}", *plan_of(number.country_code).judge(national), text)


def _of_a_kind(e164: str, country: str, kind: Kind, text: str) -> PhoneNumber:
    """Return the number of that kind. Raises `InvalidNumber` for a kind that no code is sent to."""
    if kind not in _TAKEN:
        raise InvalidNumber(kind, mask_value(text))
    return PhoneNumber(e164, country, kind is Kind.LANDLINE)


def check_region(region: str) -> str:
    """Return the region as phonenumbers knows it. Raises `InvalidRequest`."""
    home = region.upper()
    if not region.isascii() or home not in phonenumbers.SUPPORTED_REGIONS:
        raise InvalidRequest(
            "region", mask_value(region), "name the country by its two ISO 3166 letters, such as 'US' or 'GB'"
        )
    return home


def _disguise(written: str) -> str | None:
    """Return why this is no plain number, though phonenumbers might find one in it, or None."""
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


def _reason(error: NumberParseException, written: str, home: str | None) -> str:
    """Return our word for what phonenumbers could not read."""
    if error.error_type == NumberParseException.INVALID_COUNTRY_CODE:
        # Without a region, a "00" or "011" is a guess: it depends on the country that dials.
        return "invalid" if home or "+" in written or "\uff0b" in written else "no_country"
    return "not_a_number" if error.error_type == NumberParseException.NOT_A_NUMBER else "impossible"


def check_channel(channel: object) -> str:
    """Return the channel. Raises `InvalidRequest` if there is none of this name."""
    if not isinstance(channel, str) or channel not in CHANNELS:
        raise InvalidRequest("channel", mask_value(channel), "'sms', 'call' or 'auto'")
    return channel


def route(number: PhoneNumber, channel: str) -> Literal["sms", "call"]:
    """Return the channel that reaches this number; `auto` is a call to a landline, and otherwise a text.

    Raises `InvalidNumber` for a text to a landline, `InvalidRequest` for an unknown channel.
    """
    check_channel(channel)
    if channel == "call" or (channel == "auto" and number.landline):
        return "call"
    if number.landline:
        raise InvalidNumber("landline_sms", mask(number.e164))
    return "sms"
