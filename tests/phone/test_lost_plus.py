"""Numbers of every region whose + was lost: none is ever read as another number than the one that it was."""

import random

import phonenumbers
import pytest
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from ringproof.errors import InvalidNumber
from ringproof.phone.number import looks_like_lost_plus, parse

REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)
TYPES = [kind for kind in PhoneNumberType.values() if kind != PhoneNumberType.UNKNOWN]
WITHOUT_00 = ("US", "CO", "KR", "TH", "JP", "BR", "RU", "AU", "HK", "SG", "KE", "CL")
"""Homes from which a call abroad does not begin with 00 alone."""


def numbers_of(region, each=8):
    """Valid numbers of every kind of a region, made of its examples: the same beginning, another end or length."""
    chance = random.Random(region)
    code = phonenumbers.country_code_for_region(region)
    for kind in TYPES:
        example = phonenumbers.example_number_for_type(region, kind)
        national = phonenumbers.national_significant_number(example) if example else ""
        tails = [national[:kept] + str(chance.random())[2:][: len(national) - kept] for kept in range(1, len(national))]
        for digits in {
            national,
            *(tail[: len(tail) - cut] for tail in tails[-each:] for cut in (0, 1)),
            national + "3",
        }:
            e164 = f"+{code}{digits}"
            if len(digits) > 2 and is_valid(e164):
                yield e164


def is_valid(e164):
    number = phonenumbers.parse(e164)
    return phonenumbers.is_valid_number(number) and phonenumbers.format_number(number, PhoneNumberFormat.E164) == e164


def read(text, region=None, *, plus=False):
    try:
        return parse(text, region, plus=plus).e164
    except InvalidNumber as error:
        return error.reason


@pytest.mark.parametrize("region", REGIONS)
def test_digits_without_their_plus_are_never_another_number_of_their_own_country(region):
    numbers = list(numbers_of(region))
    assert numbers
    for number in numbers:
        digits = number[1:]
        code = str(phonenumbers.country_code_for_region(region))
        for before in ("", "0", "00", "'", "\u202a"):
            for written in (digits, f"{code} {digits[len(code) :]}", f"{digits[:5]}-{digits[5:]}"):
                assert read(before + written, region) in {number, read(number), "ambiguous", "impossible", "invalid"}, (
                    before + written,
                    region,
                )


@pytest.mark.parametrize("home", WITHOUT_00)
def test_two_zeros_are_never_another_country_where_calls_abroad_begin_otherwise(home):
    for region in REGIONS:
        for number in numbers_of(region, each=1):
            taken = read("00" + number[1:], home)

            assert taken == number or not taken.startswith("+"), (number, home, taken)


@pytest.mark.parametrize("region", REGIONS)
def test_digits_of_every_country_are_its_numbers_with_plus_and_where_no_region_is_set(region):
    for number in numbers_of(region, each=3):
        if not read(number).startswith("+") or not 8 <= len(number) <= 16:
            continue
        for home in (None, region, "US", "DE"):
            assert read(number[1:], home, plus=True) == number
        assert read(number[1:]) == number
        assert looks_like_lost_plus(number[1:])
        assert not looks_like_lost_plus(number)
        assert not looks_like_lost_plus("0" + number[1:])


@pytest.mark.parametrize("region", REGIONS)
def test_a_national_number_in_its_usual_form_is_still_read(region):
    usual = []
    for number in numbers_of(region):
        parsed = phonenumbers.parse(number)
        if phonenumbers.region_code_for_number(parsed) == region and read(number).startswith("+"):
            usual.append(read(phonenumbers.format_number(parsed, PhoneNumberFormat.NATIONAL), region) == "ambiguous")

    assert sum(usual) * 10 <= len(usual)
