"""Read a cell that names the country of a row's number: ISO letters or a calling code."""

import re
from functools import lru_cache
from typing import Final

import phonenumbers

_OTHER_NAMES: Final = {"UK": "GB", "EL": "GR", "USA": "US", "UAE": "AE"}
_CALLING_CODE: Final = re.compile(r"\(?(?:\+|00)?[ ]?([0-9]{1,3})(?:\.0)?\)?")  # a spreadsheet turns 44 into 44.0
_NORTH_AMERICA: Final = re.compile(r"\(?(?:\+|00)?[ ]?1[ -]?[2-9][0-9]{2}\)?")  # +1-684 is dialled as +1 is


@lru_cache(maxsize=1024)
def region_of(text: str) -> str | None:
    """Return the region that a cell names, by its two ISO letters or its calling code; None if it names none.

    >>> region_of("gb"), region_of("+44"), region_of("Great Britain")
    ('GB', 'GB', None)
    """
    letters = text.strip().upper()
    region = _OTHER_NAMES.get(letters, letters)
    if region in phonenumbers.SUPPORTED_REGIONS:
        return region
    if _NORTH_AMERICA.fullmatch(letters):
        return "US"
    code = _CALLING_CODE.fullmatch(letters)
    region = phonenumbers.region_code_for_country_code(int(code[1])) if code else ""
    return region if region in phonenumbers.SUPPORTED_REGIONS else None
