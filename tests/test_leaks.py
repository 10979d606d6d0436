"""A code is found wherever it is shown, and not where an id or a time has its digits by chance."""

import doctest

import pytest
import support.leaks
from support.leaks import leaks

CODE = "7760"


@pytest.mark.parametrize(
    "line",
    [
        "7760",
        "code=7760",
        "code: 7760, and more",
        "InvalidRequest('7760')",
        "args: ('+1•••••••23', '7760')",
        '["+1•••••••23", "7760"]',
        '{"code":"7760","task":"1f2e7760-6c34-4a37-9d1e-0d4a52d4e1f0"}',
        "b'7760\\n'",
        "\\n7760\\n",
        "x7760x",
        "-7760-",
        "7760.",
        "7760s",
        "sms7760",
        "POST /complete?otp=7760&x=1",
        "ringproof:code:7760",
        "$4\r\n7760\r\n",
        "2026-11-29 12:00:01,776 INFO code 7760",
    ],
)
def test_a_code_that_is_shown_is_found(line):
    assert leaks(CODE, f"before\n{line}\nafter")


@pytest.mark.parametrize(
    "line",
    [
        "Task initiate_verification[1f2e7760-6c34-4a37-9d1e-0d4a52d4e1f0] received",
        "Task confirm_verification[7760aaaa-7760-4a37-9d1e-77600000776f] received",
        "[2026-11-29 12:07:01,776]",
        "timestamp=1764420000.7760",
        "+1•••••••23/1764007760",
        "succeeded in 0.7760s: None",
        "succeeded in 0.0077601 seconds",
        "code_sent +1•••••••23 sms 7760 ms",
        "redis://:**@127.0.0.1:7760/0",
        "http://localhost:7760/v1",
        "<object at 0x7f07760a>",
        "pid=7760",
        'pid: 7760, "process": 7760',
        "sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f07760a08",
        "ringproof:code:aB-7760_aaaaaaaaaaaaaa",
        "port 57760, and 77601",
    ],
)
def test_digits_by_chance_are_not(line):
    assert leaks(CODE, line) == []


def test_a_code_of_the_year_is_found_beside_a_date():
    assert leaks("2026", "2026-11-29 12:00:01,776 INFO nothing") == []
    assert leaks("2026", "2026-11-29 12:00:01,776 INFO code 2026") == ["2026-11-29 12:00:01,776 INFO code 2026"]


@pytest.mark.parametrize("secret", ["14155550123", "a-token", "4155550123"])
def test_a_whole_number_or_a_token_is_found_in_anything(secret):
    assert leaks(secret, "fine", f"0{secret}9") == [f"0{secret}9"]


def test_the_example_is_true():
    assert doctest.testmod(support.leaks) == (0, 1)
