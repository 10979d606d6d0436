"""What is printed or logged has nothing in it that steers a terminal or makes another line."""

import json

import pytest

from ringproof.errors import LedgerUnavailable
from ringproof.printable import escaped, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Front desk", "Front desk"),
        ("Zoë Łuczak 东京", "Zoë Łuczak 东京"),
        ("می\u200cخواهم 👩\u200d🚒", "می\u200cخواهم 👩\u200d🚒"),
        ("one\u00a0two\u3000three", "one\u00a0two\u3000three"),
        ("\x1b[31m", "�[31m"),
        ("a\nb\r\tc\x00", "a�b��c�"),
        ("\x9b31m\x7f", "�31m�"),
        ("1\u202e2\u20663\u20694", "1�2�3�4"),
        ("a\u2028b\u2029c", "a�b�c"),
        ("\ud800\ue000\U000e0041", "���"),
    ],
)
def test_what_does_not_print_is_replaced_and_letters_of_all_scripts_stay(text, shown):
    assert printable(text) == shown


def test_json_is_escaped_and_says_the_same():
    text = "\x1b\x7f\x9b31m \u202e \u2028 \U000e0041 \ud800 👩\u200d🚒 Zoë"
    line = escaped(json.dumps({"alias": text}, ensure_ascii=False))

    assert json.loads(line) == {"alias": text}
    assert printable(line) == line


def test_an_error_is_one_printable_line():
    error = LedgerUnavailable("redis://h", "OOM\n\x1b[2Jno")

    assert printable(str(error)) == str(error)
    assert "OOM��[2Jno" in error.message
