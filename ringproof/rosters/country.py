"""Read a cell that names the country of a row's number: ISO letters, a calling code, or the country's name."""

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib.resources import files
from importlib.util import module_from_spec, spec_from_file_location
from typing import Final

import phonenumbers

from ringproof.rosters.header import plain

_OTHER_NAMES: Final = {"UK": "GB", "EL": "GR", "USA": "US", "UAE": "AE"}
_CALLING_CODE: Final = re.compile(r"\(?(?:\+|00)?[ ]?([0-9]{1,3})(?:\.0)?\)?")  # a spreadsheet turns 44 into 44.0
_NORTH_AMERICA: Final = re.compile(r"\(?(?:\+|00)?[ ]?1[ -]?[2-9][0-9]{2}\)?")  # +1-684 is dialled as +1 is


@lru_cache(maxsize=1024)
def region_of(text: str) -> str | None:
    """Return the region that a cell names, by its two ISO letters, its calling code or its name; None for no region.

    >>> region_of("gb"), region_of("+44"), region_of("Vereinigtes Königreich"), region_of("Europe")
    ('GB', 'GB', 'GB', None)
    """
    letters = text.strip().upper()
    region = _OTHER_NAMES.get(letters, letters)
    if region in phonenumbers.SUPPORTED_REGIONS:
        return region
    if _NORTH_AMERICA.fullmatch(letters):
        return "US"
    code = _CALLING_CODE.fullmatch(letters)
    region = (
        phonenumbers.region_code_for_country_code(int(code[1])) if code else _regions_by_name().get(plain(text), "")
    )
    return region if region in phonenumbers.SUPPORTED_REGIONS else None


@cache
def _regions_by_name() -> Mapping[str, str]:
    """Return the regions by their names in the languages of phonenumbers, without accents and signs.

    The library has the names for its geocoder, whose other data would take 100 MB: so this loads their file alone.
    """
    place = files("phonenumbers").joinpath("geodata", "locale.py")
    spec = spec_from_file_location("phonenumbers.geodata.locale", str(place))
    if spec is None or spec.loader is None:
        raise ImportError(f"{place} cannot be loaded")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return {
        plain(name): region
        for region, names in module.LOCALE_DATA.items()
        for name in names.values()
        if not name.startswith("*")  # it has the same name in another language
    }
