"""What the plans say is what phonenumbers says, whichever number of the world it is asked for."""

import random
import re

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import NumberParseException, PhoneNumberFormat, PhoneNumberType, ValidationResult

from ringproof.errors import InvalidNumber
from ringproof.phone.number import PhoneNumber, parse
from ringproof.phone.number_plan import HomePlan, NumberKind, Plan, classify, find_plan, plan_of

CODES = sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)
REGIONS = [None, "US", "GB", "DE", "IT", "RU", "BR", "AR", "MX"]

REASONS = {
    PhoneNumberType.UNKNOWN: "invalid",
    PhoneNumberType.PREMIUM_RATE: "premium",
    PhoneNumberType.SHARED_COST: "shared_cost",
    PhoneNumberType.PAGER: "pager",
    PhoneNumberType.UAN: "uan",
    PhoneNumberType.VOICEMAIL: "voicemail",
}
"""Why no code is sent to a number of these kinds; one of any other gets one."""

ORDINARY = {
    PhoneNumberType.FIXED_LINE: NumberKind.LANDLINE,
    PhoneNumberType.FIXED_LINE_OR_MOBILE: NumberKind.EITHER,
    PhoneNumberType.MOBILE: NumberKind.MOBILE,
    PhoneNumberType.PERSONAL_NUMBER: NumberKind.PERSONAL,
}

KINDS_IN_ORDER = (
    *("premium_rate", "toll_free", "shared_cost", "voip", "personal_number", "pager", "uan", "voicemail"),
    *("fixed_line", "mobile"),
)

KINDS = {PhoneNumberType.to_string(kind): kind for kind in PhoneNumberType.values()}


def read_by_phonenumbers(text, region=None):
    """The number, or why not, of the library's public functions alone."""
    try:
        number = phonenumbers.parse(text, region)
    except NumberParseException:
        return None
    kind = phonenumbers.number_type(number)
    country = phonenumbers.region_code_for_number(number)
    if phonenumbers.is_possible_number_with_reason(number) != ValidationResult.IS_POSSIBLE:
        return "impossible"
    if country is None or kind in REASONS:
        return REASONS[kind]
    e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    return PhoneNumber(e164, country, landline=kind == PhoneNumberType.FIXED_LINE)


def expected(text, region=None):
    """What phonenumbers reads, unless a + in front makes another number of the same digits."""
    theirs = read_by_phonenumbers(text, region)
    if region is None or text.startswith("+") or theirs in {None, "invalid", "impossible"}:
        return theirs
    digits, code = re.sub(r"\D", "", text), str(phonenumbers.country_code_for_region(region))
    if digits.startswith(("00", code, "0" + code)):
        other = read_by_phonenumbers("+" + digits[2:] if digits.startswith("00") else "+" + digits.lstrip("0"))
        if other not in {None, "invalid", "impossible", theirs}:
            return "ambiguous"
    return theirs


def read_by_us(text, region=None):
    try:
        return parse(text, region)
    except InvalidNumber as error:
        return error.reason


def same(text, region=None):
    theirs, ours = expected(text, region), read_by_us(text, region)
    if theirs == "impossible" and re.match(r"\+521\d{10}$", text):
        theirs = expected("+52" + text[4:])
    assert ours == theirs or (theirs is None and isinstance(ours, str)), (text, region)
    if isinstance(ours, PhoneNumber):
        digits = ours.e164[1:]
        length, plan = find_plan(digits[:3])
        kind = phonenumbers.number_type(phonenumbers.parse(ours.e164))

        assert plan.classify(digits[length:]) == (ours.country, ORDINARY.get(kind, NumberKind.OTHER)), (text, region)


def examples(code):
    """Numbers of every country and kind of a calling code, as the library's metadata gives them."""
    for country in phonenumbers.COUNTRY_CODE_TO_REGION_CODE[code]:
        metadata = phonenumbers.PhoneMetadata.metadata_for_region_or_calling_code(code, country)
        for description in vars(metadata).values():
            if isinstance(description, phonenumbers.PhoneNumberDesc) and description.example_number:
                yield description.example_number


@pytest.mark.parametrize("code", CODES)
def test_a_number_of_any_country_reads_as_in_phonenumbers(code):
    chance = random.Random(code)
    for national in {*examples(code)}:
        same(f"+{code}{national}")
        for _ in range(3):
            digits = list(national)
            digits[chance.randrange(len(digits))] = str(chance.randrange(10))
            same(f"+{code}{''.join(digits)}")
            same(f"+{code} ({national[:2]}) {national[2:]}{chance.choice(['', '7'])}")
            same(f"+{code}{chance.choice('0189')}{national}", chance.choice(REGIONS))
    for length in range(3, 13):
        same(f"+{code}{chance.randrange(10 ** (length - 1), 10**length)}", chance.choice(REGIONS))


def of_length(description, length, chance):
    """A number of this length that the description matches, or None if a thousand tries find none."""
    example = description.example_number or ""
    for attempt in range(1000):
        kept = example[: length * (999 - attempt) // 1000] if length >= 3 else ""
        digits = kept + "".join(chance.choices("0123456789", k=length - len(kept[:length])))
        if re.fullmatch(description.national_number_pattern, digits[:length]):
            return digits[:length]
    return None


def test_a_number_of_each_country_kind_and_length_reads_as_in_phonenumbers():
    chance, checked, untried = random.Random(1), 0, 0
    for code in CODES:
        for country in phonenumbers.COUNTRY_CODE_TO_REGION_CODE[code]:
            metadata = phonenumbers.PhoneMetadata.metadata_for_region_or_calling_code(code, country)
            for kind in KINDS_IN_ORDER:
                description = getattr(metadata, kind)
                for length in (
                    description and description.national_number_pattern and description.possible_length
                ) or ():
                    if length < 0:  # the kind does not exist there
                        continue
                    national = of_length(description, length, chance)
                    if national is None:
                        untried += 1
                        continue
                    same(f"+{code}{national}")
                    checked += 1

    assert checked > 1500
    assert untried < 100, "a few patterns are too narrow for chance; the examples and the other tests have these kinds"


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_an_example_of_each_country_is_refused_for_its_kind_or_taken(kind):
    regions = sorted(phonenumbers.SUPPORTED_REGIONS)
    found = [number for region in regions if (number := phonenumbers.example_number_for_type(region, kind))]
    numbers = [phonenumbers.format_number(number, PhoneNumberFormat.E164) for number in found]
    ours = {number: read_by_us(number) for number in numbers}
    for number in numbers:
        same(number)
    ours.pop("+13101234", None)  # impossible: its seven digits are for Canadians alone

    assert ours or kind == PhoneNumberType.UNKNOWN
    assert {answer if isinstance(answer, str) else None for answer in ours.values()} <= {REASONS.get(kind)}


@pytest.mark.parametrize("left_out", range(len(KINDS_IN_ORDER)))
def test_where_several_kinds_match_the_first_that_phonenumbers_looks_at_counts(left_out, monkeypatch):
    # No two overlap in today's metadata, so it is made: first all of them match, then all but the first, and so on.
    matching = phonenumbers.PhoneNumberDesc(national_number_pattern=r"\d{10}", possible_length=(10,))
    descriptions = dict.fromkeys(KINDS_IN_ORDER[left_out:], matching)
    metadata = phonenumbers.PhoneMetadata("DE", country_code=49, general_desc=matching, register=False, **descriptions)
    monkeypatch.setattr(phonenumbers.PhoneMetadata, "metadata_for_region_or_calling_code", lambda *_: metadata)
    kind = phonenumbers.number_type(phonenumbers.PhoneNumber(country_code=49, national_number=3012345678))

    assert Plan(49).classify("3012345678") == ("DE", (REASONS | ORDINARY).get(kind, NumberKind.OTHER))


@given(
    st.one_of(st.sampled_from(CODES).map(str), st.just("")),
    st.text("0123456789", min_size=1, max_size=14),
    st.sampled_from(REGIONS),
)
def test_random_digits_read_as_in_phonenumbers(code, digits, region):
    same(f"+{code}{digits}", region)


@given(st.from_regex(r"\A\+[1-9][0-9 ()-]{4,24}\Z"), st.sampled_from(REGIONS))
def test_signs_between_the_digits_change_nothing(text, region):
    same(text, region)


@pytest.mark.parametrize("region", REGIONS[1:])
def test_a_national_number_reads_as_in_phonenumbers(region):
    code = phonenumbers.country_code_for_region(region)
    for national in {*examples(code)}:
        for prefix in ("", "0", "1", str(code), f"00{code}", f"011{code}"):
            same(prefix + national, region)


def test_a_number_that_is_written_at_home_reads_as_in_phonenumbers_in_every_region():
    chance, read_quickly = random.Random(3), 0
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        metadata = phonenumbers.PhoneMetadata.metadata_for_region(region)
        home, prefix = HomePlan(region), metadata.national_prefix or "0"
        descriptions = filter(None, (metadata.fixed_line, metadata.mobile, metadata.toll_free))
        for national in {description.example_number for description in descriptions} - {None}:
            changed = national[:-1] + str(chance.randrange(10))
            broken = str(chance.randrange(10)) + national[1:]
            for digits in (national, prefix + changed, "0" + broken, broken + "0", f"0{home.code}{national}"):
                same(digits, region)
                read_quickly += len(digits) >= 7 and home.read(digits) is not None

    assert read_quickly > 600, "most are read without phonenumbers, or this test compares it with itself"


def test_the_first_digits_that_may_be_a_national_prefix_are_left_to_phonenumbers():
    assert classify("4402079460958") is None
    assert parse("+4402079460958") == parse("+442079460958")


@pytest.mark.parametrize("digits", ["0123456789", "9991234567", "2101234567"])
def test_what_begins_with_no_calling_code_is_left_to_phonenumbers(digits):
    assert classify(digits) is None


@pytest.mark.parametrize(
    ("code", "national", "country", "kind"),
    [
        (1, "4155552671", "US", NumberKind.EITHER),
        (1, "4165552671", "CA", NumberKind.EITHER),
        (1, "8002345678", "US", NumberKind.OTHER),
        (44, "7700900123", "GB", NumberKind.INVALID),
        (49, "3012345678", "DE", NumberKind.LANDLINE),
        (49, "15123456789", "DE", NumberKind.MOBILE),
        (44, "9012345678", "GB", NumberKind.PREMIUM),
        (61, "1300123456", "AU", NumberKind.SHARED_COST),
        (44, "7640123456", "GB", NumberKind.PAGER),
        (44, "3001234567", "GB", NumberKind.UAN),
        (41, "860123456789", "CH", NumberKind.VOICEMAIL),
        (800, "12345678", "001", NumberKind.OTHER),
        (1, "415555267", "US", NumberKind.IMPOSSIBLE),
    ],
)
def test_a_plan_tells_country_and_kind(code, national, country, kind):
    assert plan_of(code).classify(national) == (country, kind)


def test_no_calling_code_begins_with_another():
    codes = [str(code) for code in CODES]

    assert not [(one, other) for one in codes for other in codes if one != other and other.startswith(one)]
