"""Which numbers are verified: `is_verified` and `verified_numbers`."""

from datetime import UTC, datetime, timedelta

import pytest
import redis
from support.harness import fresh_number

from ringproof import is_verified, runtime, verified_numbers
from ringproof.errors import InvalidNumber, InvalidRequest, LedgerUnavailable
from ringproof.ledger import numbers
from ringproof.ledger.confirmation import Source, mark_verified
from ringproof.plivo.client import VerifiedNumber
from worker.local.processes.redis_server import RedisServer

UUID = "11111111-2222-3333-4444-555555555555"
SUBACCOUNT = "SA" + "x" * 18
TODAY = datetime.now(UTC)


@pytest.fixture(scope="module")
def own_server():
    with RedisServer(has_config=True) as server:
        yield server


@pytest.fixture
def server(own_server, monkeypatch):
    """A Redis of its own, empty, which this process uses."""
    monkeypatch.setenv("RINGPROOF_REDIS_URL", own_server.url)
    runtime._ledger.cache_clear()
    runtime.ledger().client.flushall()
    yield own_server
    runtime.ledger().client.close()
    runtime._ledger.cache_clear()


def verified(number=None, *, alias="", country="US", subaccount="", days_ago=0):
    """Record a number that Plivo has."""
    number, date = number or fresh_number(), TODAY - timedelta(days=days_ago)
    entry = VerifiedNumber(number, alias, country, date, date, subaccount, UUID)
    mark_verified(runtime.ledger(), [entry], source=Source.LIST)
    return number


def many(count):
    """Record many numbers."""
    entries = [VerifiedNumber(f"+1415{n:07d}", "", "US", TODAY, TODAY, "", "uuid") for n in range(count)]
    for start in range(0, count, 500):
        mark_verified(runtime.ledger(), entries[start : start + 500], source=Source.LIST)
    return {entry.phone_number for entry in entries}


@pytest.mark.usefixtures("server")
class TestIsVerified:
    def test_reads_a_number_in_any_notation(self):
        number = verified()

        assert is_verified(number)
        assert is_verified(f"({number[2:5]}) {number[5:8]}-{number[8:]}", "US")
        assert not is_verified(fresh_number())

    def test_stays_true_while_a_newer_request_is_under_way(self):
        number = verified()
        runtime.ledger().client.hset(runtime.ledger().keys.record(number), "state", "code_sent")

        assert is_verified(number)

    def test_is_false_for_a_code_that_was_only_sent(self):
        runtime.ledger().accept(number := fresh_number(), token="t")

        assert not is_verified(number)

    @pytest.mark.parametrize(("given", "error"), [(("12",), InvalidNumber), (("+14155550123", 1), InvalidRequest)])
    def test_refuses_what_is_no_number(self, given, error):
        with pytest.raises(error):
            is_verified(*given)


@pytest.mark.usefixtures("server")
class TestVerifiedNumbers:
    def test_have_all_that_a_program_needs_and_print_masked(self):
        number = verified(alias="Front desk", subaccount=SUBACCOUNT)
        (caller_id,) = verified_numbers()

        assert (caller_id.phone_number, caller_id.country, caller_id.alias) == (number, "US", "Front desk")
        assert (caller_id.subaccount, caller_id.verification_uuid) == (SUBACCOUNT, UUID)
        assert abs(caller_id.verified_at - TODAY) < timedelta(seconds=1)
        assert caller_id.checked_at
        for text in (str(caller_id), repr(caller_id)):
            assert number[1:-2] not in text
            assert "Front desk" not in text

    def test_are_chosen_by_country_alias_subaccount_and_date(self):
        mine = verified(alias="Front desk", subaccount=SUBACCOUNT, days_ago=1)
        other = verified(alias="Back door", country="CA", days_ago=3)

        def chosen(**filters):
            return {caller_id.phone_number for caller_id in verified_numbers(**filters)}

        assert chosen() == {mine, other}
        assert chosen(country=" us ", alias="", subaccount=None) == chosen(alias="Front desk ") == {mine}
        assert chosen(subaccount=SUBACCOUNT) == chosen(since=TODAY - timedelta(days=2)) == {mine}
        assert chosen(country="CA", alias="Front desk") == set()

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("country", "USA"),
            ("country", 1),
            ("alias", "a\nb"),
            ("subaccount", "MA" + "x" * 18),
            ("since", datetime(2026, 5, 4)),  # noqa: DTZ001  # it has no zone
            ("since", "2026-05-04"),
        ],
    )
    def test_refuse_a_wrong_filter_at_the_call(self, field, value):
        with pytest.raises(InvalidRequest) as caught:
            verified_numbers(**{field: value})

        assert caught.value.field == field

    def test_are_all_found_while_other_keys_come_and_go_and_a_few_at_a_time_are_read(self):
        expected, client = many(3000), runtime.ledger().client
        found = set()
        client.config_resetstat()
        for nth, caller_id in enumerate(verified_numbers()):
            if nth == 0:
                assert client.info("commandstats")["cmdstat_hgetall"]["calls"] <= 3 * numbers.AT_ONCE
            if nth % 200 == 0:  # Redis makes its table of keys larger, and smaller again
                client.mset({f"other:{nth}:{key}": "" for key in range(5000)})
            elif nth % 200 == 100:
                client.delete(*(f"other:{nth - 100}:{key}" for key in range(5000)))
            found.add(caller_id.phone_number)

        assert found == expected

    def test_end_with_an_error_if_redis_was_restarted_in_the_middle(self, server):
        many(2000)
        iterator = verified_numbers()
        next(iterator)
        server.restart()

        with pytest.raises(LedgerUnavailable, match="start again"):
            list(iterator)

    def test_are_also_listed_if_redis_forbids_info(self):
        expected, client = many(2000), runtime.ledger().client
        client.acl_setuser("default", enabled=True, nopass=True, commands=["-info"])
        try:
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.info("server")
            found = {caller_id.phone_number for caller_id in verified_numbers()}
        finally:
            client.acl_setuser("default", enabled=True, nopass=True, commands=["+info"])

        assert found == expected
