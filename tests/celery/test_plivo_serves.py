"""A worker says at its start what Plivo says of other countries than the United States."""

import logging

import pytest

from ringproof.phone.country_list import PLIVO_SERVES, parse_countries
from worker.celery.readiness import say_where_plivo_serves


@pytest.mark.parametrize(
    ("countries", "level"), [("", "WARNING"), ("US", None), ("US,CA", "INFO"), ("all", "INFO"), ("US,+881", "INFO")]
)
def test_a_worker_says_it_once_unless_the_united_states_alone_are_meant(caplog, countries, level):
    with caplog.at_level(logging.INFO):
        say_where_plivo_serves(parse_countries(countries) if countries else ())
    logged = [record.levelname for record in caplog.records if PLIVO_SERVES in record.message]

    assert logged == ([level] if level else [])
    assert ("RINGPROOF_COUNTRIES is empty" in caplog.text) == (not countries)
