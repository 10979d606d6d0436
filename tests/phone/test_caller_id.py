"""An alias may be of any language; a form's empty field is absent; anything that breaks a line is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringproof.errors import InvalidRequest
from ringproof.phone.caller_id import ALIAS_LENGTH, check_alias, check_subaccount, clean_alias, is_empty

NOTHING_TO_SEE = [None, "", " ", "   ", "\t", "\r\n", "\u00a0", "\u3000\u2009", "\u200b", "\u200e\u200f", "\ufeff"]


@pytest.mark.parametrize("empty", NOTHING_TO_SEE)
def test_an_empty_field_of_a_form_is_absent(empty):
    assert is_empty(empty)
    assert check_alias(empty) is None
    assert check_subaccount(empty) is None


@pytest.mark.parametrize("around", [blank for blank in NOTHING_TO_SEE if blank and not set(blank) & set("\t\r\n")])
def test_blanks_around_a_subaccount_are_dropped(around):
    subaccount = "SA" + "x" * 18

    assert check_subaccount(around + subaccount + around) == subaccount
    with pytest.raises(InvalidRequest):
        check_subaccount(subaccount[:10] + around + subaccount[10:])


@pytest.mark.parametrize("given", ["0", "-", ".", 0, 0.0, False, [], b"", "\u0000"])
def test_a_value_is_not_empty_because_it_is_small(given):
    assert not is_empty(given)


@pytest.mark.parametrize(
    "alias",
    [
        "Zoë",
        "山田 太郎",
        "می\u200cخواهم",  # Persian: a joiner less, between two letters
        "نامه\u200cای از دفتر",
        "ශ්\u200dරී ලංකා",  # Sinhala: a joiner more
        "क्\u200dष",
        "দপ্তর",
        "👨\u200d👩\u200d👧 Müller",
        "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
        "❤\ufe0f",
        "🏳\ufe0f\u200d🌈 Bar",
        "\U0001fae9 sign of a newer Unicode",
        "עברית\u200e (IL)\u200f ועוד",
        "فرع\u061c 5\u200f-ب",
        "Büro \u2068مكتب\u2069 Ost",
        "Büro \u202bמשרד\u202c",
        "สวัสดี\u200bครับ",
        "Donau\u00addampf",
        "T\u0301e\u0323",
        "Al-Ḥasan’s « shop »",
        "Row 17; a, b = \"c\" 'd' <e> & {f}",
    ],
)
def test_an_alias_of_any_language_is_kept_as_it_is(alias):
    assert check_alias(alias) == alias
    assert clean_alias(alias) == alias


@pytest.mark.parametrize("blank", "\u00a0\u1680\u2000\u2003\u2007\u2009\u202f\u205f\u3000")
def test_a_blank_of_any_width_is_a_space(blank):
    assert check_alias(f"{blank}Front{blank}desk {blank}") == "Front desk"


@pytest.mark.parametrize(
    ("alias", "kept"),
    [
        ("\ufeffAda", "Ada"),
        ("Ada\u200e", "Ada"),
        ("\u200fמשרד\u200f", "משרד"),
        ("\u202aAda\u202c", "Ada"),
        ("\u2068 Ada \u2069", "Ada"),
        ("\u2068Ada\u2069 and \u2068Bob\u2069", "\u2068Ada\u2069 and \u2068Bob\u2069"),
        ("\u202aAda", "Ada"),
        ("Ada\u2069 L", "Ada L"),
        ("\u2066Ada\u202c L", "Ada L"),
    ],
)
def test_invisible_marks_at_the_ends_and_directions_without_an_end_are_dropped(alias, kept):
    assert check_alias(alias) == kept


@pytest.mark.parametrize(
    ("alias", "cleaned"),
    [
        ("Front\ndesk", "Front desk"),
        ("Front\r\n\r\ndesk\n", "Front desk"),
        ("Front\tdesk", "Front desk"),
        ("Front\v\fdesk", "Front desk"),
        ("佐藤\u2028恵", "佐藤 恵"),
        ("佐藤\u2029恵", "佐藤 恵"),
        ("Büro\x85Ost", "Büro Ost"),
        ("مكتب\x07", "مكتب"),
        ("Front\0desk", "Frontdesk"),
        ("\x7f\x9bDesk", "Desk"),
        ("Desk\u202ekseD", "DeskkseD"),
        ("Desk\u202dA", "DeskA"),
        ("Zoë \ud800", "Zoë"),
        ("Zoë\uffff", "Zoë"),
        ("\0\x07", None),
        ("é" * 256, "é" * ALIAS_LENGTH),
        ("é" * 254 + " desk", "é" * 254),
        ("é" * 253 + "👨\u200d👩", "é" * 253 + "👨"),
        ("x" * 65_000, "x" * ALIAS_LENGTH),
        (["Desk"], None),
        (b"Desk", None),
        (True, None),
    ],
    ids=lambda text: ascii(text)[:20],
)
def test_a_line_break_and_a_control_character_are_refused_and_cleaned_for_a_roster(alias, cleaned):
    with pytest.raises(InvalidRequest, match="1 to 255 printable characters"):
        check_alias(alias)

    assert clean_alias(alias) == cleaned


@given(
    st.text(st.characters() | st.sampled_from("\0\t\n\u00a0\u200d\u200e\u202a\u202c\u202e\u2068\u2069 x"), max_size=300)
)
def test_a_cleaned_alias_is_accepted_as_it_is(text):
    cleaned = clean_alias(text)

    assert check_alias(cleaned) == cleaned
    assert cleaned is None or 1 <= len(cleaned) <= ALIAS_LENGTH
