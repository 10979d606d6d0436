"""Find the country and the kind of a number in its country's plan, ten times as fast as phonenumbers does.

The patterns are those of phonenumbers. The library matches them again for the country, for the kind and for the
length, and keeps them in `re`, which forgets all but 512: the numbers of the world need more. Here the kinds of a
country are one pattern, which is compiled once. The library's metadata is internal and may change, so that the tests
compare the results with the library's public functions for each country, kind and length.
"""

import re
from collections.abc import Callable
from enum import StrEnum
from functools import cache
from typing import Final

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata, PhoneNumberDesc


class NumberKind(StrEnum):
    """What a number is for; Ringproof sends codes to the last five kinds only.

    It sends to a personal number only if an operator allows that: the number may forward to any other one, at a price
    that its country does not tell, as 070 in the United Kingdom.
    """

    IMPOSSIBLE = "impossible"
    INVALID = "invalid"
    PREMIUM = "premium"
    SHARED_COST = "shared_cost"
    PAGER = "pager"
    UAN = "uan"
    VOICEMAIL = "voicemail"
    PERSONAL = "personal"
    LANDLINE = "landline"
    EITHER = "landline_or_mobile"
    MOBILE = "mobile"
    OTHER = "other"


NOT_IN_USE: Final = frozenset({NumberKind.IMPOSSIBLE, NumberKind.INVALID})

NETWORKS: Final = frozenset(
    f"+{code}" for code, countries in COUNTRY_CODE_TO_REGION_CODE.items() if countries == ("001",)
)
"""The calling codes that belong to no country, such as +881 of satellite telephones. All have three digits."""

_KIND_OF: Final = {
    "premium_rate": NumberKind.PREMIUM,
    "toll_free": NumberKind.OTHER,
    "shared_cost": NumberKind.SHARED_COST,
    "voip": NumberKind.OTHER,
    "personal_number": NumberKind.PERSONAL,
    "pager": NumberKind.PAGER,
    "uan": NumberKind.UAN,
    "voicemail": NumberKind.VOICEMAIL,
    "fixed_line": NumberKind.LANDLINE,
    "mobile": NumberKind.MOBILE,
}
"""The kinds by the names of their patterns in phonenumbers. If two patterns match, the first counts."""

_Matches = Callable[[str], object]
_KindMatcher = Callable[[str], re.Match[str] | None]
_compiled = cache(re.compile)


class Plan:
    """The plan of one calling code, which several countries may share.

    Each pattern is compiled when it is first needed. All 586 patterns of the world take half a second and 3 MB.
    """

    def __init__(self, code: int) -> None:
        countries = COUNTRY_CODE_TO_REGION_CODE[code]
        self._countries = [_Country(code, country) for country in countries]
        main = self._countries[0].metadata
        lengths = main.general_desc or PhoneNumberDesc()
        self._possible = frozenset(lengths.possible_length) - frozenset(lengths.possible_length_local_only)
        prefix = main.national_prefix_for_parsing
        self._prefix: _Matches | None = _compiled(prefix).match if prefix else None

    def classify(self, national: str) -> tuple[str, NumberKind]:
        """Return the country and the kind of a number that is given without its calling code.

        If the number is impossible or invalid, the country is the main one of the calling code.

        >>> Plan(49).classify("3012345678")
        ('DE', <NumberKind.LANDLINE: 'landline'>)
        """
        if len(national) not in self._possible:
            return self._countries[0].name, NumberKind.IMPOSSIBLE
        if len(self._countries) == 1:
            only = self._countries[0]
            return only.name, only.kind(national)
        for country in self._countries:
            if country.begins is None:
                kind = country.kind(national)
                if kind is not NumberKind.INVALID:
                    return country.name, kind
            elif country.begins(national):
                return country.name, country.kind(national)
        return self._countries[0].name, NumberKind.INVALID

    def may_lose_its_prefix(self, national: str) -> bool:
        """Return whether phonenumbers might drop the first digits as a national prefix, as the 0 of `+44 020`."""
        return self._prefix is not None and self._prefix(national) is not None


class HomePlan:
    """How people write the numbers of their own country: without its calling code, often with a national prefix."""

    def __init__(self, region: str) -> None:
        metadata = PhoneMetadata.metadata_for_region(region)
        if metadata is None:
            raise KeyError(region)
        self.region, self.code = region, str(metadata.country_code)
        self._plan = plan_of(metadata.country_code or 0)
        general = metadata.general_desc or PhoneNumberDesc()
        self._is_national: _Matches = _compiled(general.national_number_pattern or "").fullmatch
        self._lengths = frozenset(general.possible_length) - frozenset(general.possible_length_local_only)
        prefix = metadata.national_prefix_for_parsing or ""
        is_plain = prefix.isdecimal() and metadata.national_prefix_transform_rule is None
        self._plain_prefix = prefix if is_plain else None
        self._prefix: _Matches | None = _compiled(prefix).match if prefix else None
        # Behind these digits phonenumbers may see a calling code, and a `+` that was lost may make another number.
        abroad = [metadata.international_prefix, "00", f"0{self.code}"]
        if self.code != self._plain_prefix:  # in North America both are 1
            abroad.append(self.code)
        self._abroad: _Matches = _compiled("|".join(filter(None, abroad))).match

    def read(self, digits: str) -> tuple[str, str, NumberKind] | None:
        """Return a number's E.164 digits, its country and its kind; `digits` are seven or more.

        Returns None if no such number is in use, and if phonenumbers has to read it: it may begin with a calling code
        or as a call abroad, or have a prefix that is more than some digits to drop.

        >>> HomePlan("DE").read("03012345678")
        ('493012345678', 'DE', <NumberKind.LANDLINE: 'landline'>)
        """
        if self._abroad(digits):
            return None
        if self._prefix is not None and self._prefix(digits):
            if self._plain_prefix is None:
                return None
            digits = digits[len(self._plain_prefix) :]
            if len(digits) not in self._lengths or not self._is_national(digits):
                return None
        country, kind = self._plan.classify(digits)
        return None if kind in NOT_IN_USE else (self.code + digits, country, kind)


class _Country:
    """One country's part of a plan."""

    def __init__(self, code: int, name: str) -> None:
        metadata = PhoneMetadata.metadata_for_region_or_calling_code(code, name)
        if metadata is None:
            raise KeyError(name)
        self.name, self.metadata = name, metadata
        self._has_one_pattern = bool(metadata.same_mobile_and_fixed_line_pattern)
        begins = metadata.leading_digits
        self.begins: _Matches | None = _compiled(begins).match if begins is not None else None
        self._kinds: dict[int, _KindMatcher | None] = {}

    def kind(self, national: str) -> NumberKind:
        """Return the kind of a number that belongs to this country or to none."""
        length = len(national)
        if length not in self._kinds:
            self._kinds[length] = self._of_length(length)
        matches = self._kinds[length]
        match = matches(national) if matches else None
        if match is None:
            return NumberKind.INVALID
        kind = _KIND_OF[match.lastgroup or ""]
        if kind is NumberKind.LANDLINE and (self._has_one_pattern or self._is_mobile(national)):
            return NumberKind.EITHER
        return kind

    def _of_length(self, length: int) -> _KindMatcher | None:
        """Return a function that matches the numbers of this length: the group that it finds is named as their kind.

        One pattern for all kinds takes a third of the time. The first kind counts if two match, as in phonenumbers.
        """
        general = _pattern(self.metadata.general_desc, length)
        patterns = {name: _pattern(getattr(self.metadata, name), length) for name in _KIND_OF}
        if self._has_one_pattern:
            del patterns["mobile"]
        kinds = "|".join(f"(?P<{name}>{pattern})" for name, pattern in patterns.items() if pattern)
        return _compiled(rf"(?=(?:{general})\Z)(?:{kinds})").fullmatch if general and kinds else None

    def _is_mobile(self, national: str) -> bool:
        pattern = _pattern(self.metadata.mobile, len(national))
        return pattern is not None and _compiled(pattern).fullmatch(national) is not None


def _pattern(description: PhoneNumberDesc | None, length: int) -> str | None:
    """Return the pattern of a description, or None if no number of this length has it."""
    if description is None or not description.national_number_pattern:
        return None
    if description.possible_length and length not in description.possible_length:
        return None
    return description.national_number_pattern


@cache
def plan_of(code: int) -> Plan:
    """Return the plan of a calling code. Raises KeyError for a code that is not in use."""
    return Plan(code)


@cache
def find_plan(head: str) -> tuple[int, Plan] | None:
    """Return the length of the calling code in a number's first three digits, and its plan; None if it has no plan."""
    for length in (1, 2, 3):  # no code begins with another
        if (code := int(head[:length])) in COUNTRY_CODE_TO_REGION_CODE and head[0] != "0":
            return length, plan_of(code)
    return None


def classify(digits: str) -> tuple[str, NumberKind] | None:
    """Return the country and the kind of an international number without its `+`: seven ASCII digits or more.

    Returns None if phonenumbers has to read the number: it has no known calling code, or perhaps a national prefix.
    It takes 3 µs.

    >>> classify("14155552671")
    ('US', <NumberKind.EITHER: 'landline_or_mobile'>)
    """
    length_and_plan = find_plan(digits[:3])
    if length_and_plan is None:
        return None
    length, plan = length_and_plan
    national = digits[length:]
    return None if plan.may_lose_its_prefix(national) else plan.classify(national)
