"""A web page can neither read nor drive the sandbox of the machine that shows it."""

import pytest
import requests


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:8077"},
        {"Host": "localhost.evil.example"},
        {"Host": "10.0.0.1"},
        {"Host": ""},
        {"Origin": "https://evil.example", "Content-Type": "text/plain"},
        {"Origin": "null"},
    ],
)
@pytest.mark.parametrize("path", ["/sandbox/sends", "/v1/Account/MAXXXXXXXXXXXXXXXXXX/VerifiedCallerId/"])
def test_a_page_of_another_site_is_refused(plivo, headers, path):
    read = requests.get(f"{plivo.root}{path}", headers=headers, timeout=30)
    driven = requests.post(f"{plivo.root}/sandbox/clock", headers=headers, data='{"advance": 5}', timeout=30)

    assert {read.status_code, driven.status_code} <= {400, 403}
    assert "phone_number" not in read.text


@pytest.mark.parametrize(
    "headers", [{}, {"Host": "localhost:1"}, {"Host": "[::1]"}, {"Origin": "http://127.0.0.1:5000"}]
)
def test_a_program_of_this_machine_is_answered(plivo, headers):
    assert requests.get(f"{plivo.root}/sandbox/sends?since=999999", headers=headers, timeout=30).status_code == 200
