"""The policy: what a rate means, and that the spacing of slots never exceeds Plivo's rate in any window."""

import itertools
import json
import random
from datetime import timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringproof.clock import SlotClock
from ringproof.policy import JITTER, Policy, Rate

MICROSECOND = timedelta(microseconds=1)
JITTER_US = JITTER // MICROSECOND
ARRIVAL_US, LATE_US = 50_000, 10_000
DOUBLE = 2**53
"""Up to here every whole number is exact in Lua."""

RATES = ("300/5s", "2/1s", "1/2s", "10/1s", "1/1s", "50/5s", "1000/1s")

decimals = st.decimals(min_value="0.001", max_value="999999.999", places=3)
rates = st.builds("{}/{}s".format, decimals, decimals).map(Rate.parse)
usual_rates = st.builds("{}/{}s".format, st.integers(1, 400), st.sampled_from(["0.5", "1", "5", "60"])).map(Rate.parse)


def arrivals(rate, delays_us, spacing_us=None):
    """Return when requests reach Plivo, if each leaves at its slot and is late by its delay."""
    spacing = spacing_us or rate.spacing_us
    return sorted(slot * spacing + delay for slot, delay in enumerate(delays_us))


def too_many(rate, arrived_us):
    """Count the requests with N others before them in a strict sliding window: Plivo would refuse them."""
    return sum(
        later - earlier < rate.window_us for earlier, later in zip(arrived_us, arrived_us[rate.number :], strict=False)
    )


def jittery(seed, count):
    chance = random.Random(seed)
    return [chance.uniform(0, ARRIVAL_US) + chance.choice((0, 0, LATE_US)) for _ in range(count)]


def worst_delays(rate):
    """Return delays in which the first of N + 1 requests is as late as possible, and no other overtakes it."""
    return [max(0, JITTER_US - slot * rate.spacing_us) for slot in range(rate.number + 1)]


class TestARate:
    @pytest.mark.parametrize(
        ("text", "number", "window", "shown"),
        [
            ("300/5s", 300, Fraction(5), "300/5s"),
            ("2/1s", 2, Fraction(1), "2/1s"),
            ("0.5/1s", 1, Fraction(2), "1/2s"),
            ("1.5/1s", 3, Fraction(2), "3/2s"),
            ("0.25/0.5s", 1, Fraction(2), "1/2s"),
            ("1000/0.1s", 1000, Fraction(1, 10), "1000/0.1s"),
            ("300.0/5.0s", 300, Fraction(5), "300/5s"),
            ("007/010s", 7, Fraction(10), "7/10s"),
            (" 300/5s\n", 300, Fraction(5), "300/5s"),
            ("999999/999999s", 999_999, Fraction(999_999), "999999/999999s"),
            ("0.001/999999.999s", 1, Fraction(999_999_999), "1/999999999s"),
        ],
    )
    def test_a_rate_is_requests_per_seconds(self, text, number, window, shown):
        rate = Rate.parse(text)

        assert (rate.number, rate.window_seconds) == (number, window)
        assert str(rate) == shown

    @pytest.mark.parametrize(
        "text",
        [
            "",
            " ",
            "/",
            "300",
            "300/",
            "/5s",
            "300/5",
            "300/5m",
            "300/5ms",
            "300/5S",
            "300/m",
            "300 / 5s",
            "300/5 s",
            "300 per 5s",
            "0/5s",
            "300/0s",
            "0.0/5s",
            "0.000/5s",
            "-300/5s",
            "300/-5s",
            "+300/5s",
            "nan/5s",
            "300/nans",
            "inf/5s",
            "300/infs",
            "3e2/5s",
            "300/5e0s",
            "3_00/5s",
            "3,00/5s",
            "1/2/5s",
            ".5/1s",
            "5./1s",
            "0x10/5s",
            "\u0663\u0660\u0660/5s",
            "300/\uff15s",
            "\u00b2/1s",
            "300/5s\n300/5s",
            "1000000/1s",
            "1/1000000s",
            "0.0001/1s",
            "9" * 100_000,
            "9" * 100_000 + "/1s",
        ],
    )
    def test_other_texts_are_refused_and_the_error_shows_the_notation(self, text):
        with pytest.raises(ValueError, match=r"such as 300/5s, 2/1s or 0\.5/1s") as caught:
            Rate.parse(text)

        assert len(str(caught.value)) < 100

    @given(rates)
    def test_a_rate_survives_writing_and_reading(self, rate):
        number, window = str(rate).removesuffix("s").split("/")

        assert Rate(int(number), Fraction(window)) == rate

    @given(rates)
    def test_a_rate_is_exact_in_the_doubles_of_the_scripts(self, rate):
        now_us = 4_000_000_000_000_000  # the year 2096

        assert 0 < rate.window_us < DOUBLE
        assert rate.spacing_us > 0
        assert now_us + rate.window_us + rate.spacing_us < DOUBLE


class TestTheSpacing:
    @pytest.mark.parametrize(
        ("text", "window_us", "spacing_us"),
        [
            ("300/5s", 5_000_000, 16_867),
            ("2/1s", 1_000_000, 530_000),
            ("1/2s", 2_000_000, 2_060_000),
            ("0.5/1s", 2_000_000, 2_060_000),
            ("10/1s", 1_000_000, 106_000),
            ("1000/0.1s", 100_000, 160),
            ("999999/0.001s", 1_000, 1),
        ],
    )
    def test_the_spacing_is_window_plus_jitter_over_number_rounded_up(self, text, window_us, spacing_us):
        rate = Rate.parse(text)

        assert (rate.window_us, rate.spacing_us) == (window_us, spacing_us)

    @given(rates)
    def test_the_spacing_is_never_too_short_and_less_than_a_microsecond_too_long(self, rate):
        exact = (rate.window_seconds * 1_000_000 + JITTER_US) / rate.number

        assert exact <= rate.spacing_us < exact + 1

    def test_the_jitter_covers_the_measured_delays(self):
        assert JITTER_US == ARRIVAL_US + LATE_US

    @pytest.mark.parametrize("text", RATES)
    def test_the_used_share_of_the_rate_is_window_over_window_plus_jitter(self, text):
        rate = Rate.parse(text)
        used = rate.window_us / rate.number / rate.spacing_us
        documented = rate.window_us / (rate.window_us + JITTER_US)

        assert used <= documented
        assert used == pytest.approx(documented, rel=1 / rate.spacing_us)

    def test_98_percent_of_plivos_documented_rate_are_used(self):
        rate = Policy().rate

        assert rate.window_us / rate.number / rate.spacing_us == pytest.approx(5 / 5.06, abs=1e-4)


class TestPlivosWindow:
    @pytest.mark.parametrize("text", RATES)
    @pytest.mark.parametrize("seed", range(5))
    def test_a_window_never_has_more_than_n_with_network_jitter_and_late_threads(self, text, seed):
        rate = Rate.parse(text)

        assert too_many(rate, arrivals(rate, jittery(seed, 5 * rate.number + 50))) == 0

    @given(usual_rates, st.lists(st.integers(0, JITTER_US), min_size=2, max_size=50), st.data())
    def test_a_window_never_has_more_than_n_with_any_delays_within_the_jitter(self, rate, some, data):
        # `some` delays, repeated over three windows, with the worst delays at a place that hypothesis chooses.
        delays = list(itertools.islice(itertools.cycle(some), 3 * rate.number + 3))
        worst = data.draw(st.integers(0, 2 * rate.number + 1))
        delays[worst : worst + rate.number + 1] = worst_delays(rate)

        assert too_many(rate, arrivals(rate, delays)) == 0

    @pytest.mark.parametrize("text", RATES)
    def test_the_worst_window_has_exactly_n(self, text):
        rate = Rate.parse(text)
        worst = arrivals(rate, worst_delays(rate))

        assert rate.window_us <= worst[-1] - worst[0] < rate.window_us + rate.number

    def test_a_jitter_of_20_ms_would_be_too_small(self):
        rate = Rate.parse("300/5s")
        delays = jittery(1, 10_000)
        tight = (rate.window_us + 20_000) // rate.number

        assert too_many(rate, arrivals(rate, delays, tight)) > 0
        assert too_many(rate, arrivals(rate, delays)) == 0


class TestThePolicy:
    def test_the_default_policy_is_plivos_documented_rate(self):
        assert Policy().mapping() == {
            "rate": "300/5s",
            "window_us": 5_000_000,
            "spacing_us": 16_867,
            "cooldown_ms": 60_000,
            "record_ms": 7_776_000_000,
            "call_rate": "2/1s",
            "call_window_us": 1_000_000,
            "call_spacing_us": 530_000,
            "max_codes_per_day": 5,
            "max_calls_per_week": 10,
            "range_codes_per_hour": 20,
            "max_wrong_codes": 10,
            "country_codes_per_hour": 1000,
            "people_codes_per_day": 20_000,
            "requester_codes_per_hour": 20,
            "requester_codes_per_day": 100,
            "breaker_percent": 10,
            "breaker_codes": 100,
            "countries": "",
            "quiet_hours": "",
            "reverify_ms": 0,
            "reverify_mode": "check",
            "test_numbers": "",
            "jitter_us": 60_000,
        }

    def test_the_scripts_get_whole_numbers_and_texts(self):
        policy = Policy(
            rate=Rate.parse("0.3/0.7s"),
            cooldown_ms=0,
            record_ms=1,
            call_rate=Rate.parse("0.5/1s"),
            countries=("CA", "US"),
            quiet_hours="21:00-08:00",
        )
        fields = policy.mapping()
        texts = {name: value for name, value in fields.items() if not isinstance(value, int)}

        assert texts == {
            "rate": "3/7s",
            "call_rate": "1/2s",
            "countries": "CA,US",
            "quiet_hours": "21:00-08:00",
            "reverify_mode": "check",
            "test_numbers": "",
        }
        assert json.loads(json.dumps(fields)) == fields

    @pytest.mark.parametrize(
        "name", ["cooldown_ms", "record_ms", "max_codes_per_day", "max_calls_per_week", "range_codes_per_hour"]
    )
    def test_a_negative_number_is_refused_by_name(self, name):
        with pytest.raises(ValueError, match=name):
            Policy(**{name: -1})


class TestTheSlotClock:
    """Redis' clock runs 1,000 s ahead of ours here; each answer takes some time to come back."""

    def located(self, clock, asked_at, way_there, way_back, slot_in=0.5):
        now_us = int((asked_at + way_there + 1000) * 1e6)
        return clock.locate(asked_at, asked_at + way_there + way_back, now_us)(now_us + int(slot_in * 1e6))

    def test_a_slot_is_located_to_within_the_fastest_reply(self):
        clock = SlotClock()
        self.located(clock, 10.0, 0.001, 0.0002)

        assert self.located(clock, 11.0, 0.003, 0.08) == pytest.approx(11.503, abs=0.001)

    def test_a_slot_is_never_located_outside_the_bounds_of_the_reply(self):
        clock = SlotClock()
        first = self.located(clock, 10.0, 0.0, 2.0)
        second = self.located(clock, 20.0, 2.0, 0.0)

        assert 10.5 <= first <= 12.5
        assert 20.5 <= second <= 22.51

    def test_a_long_way_back_makes_no_slot_late(self):
        clock = SlotClock()
        self.located(clock, 10.0, 0.2, 0.05)
        self.located(clock, 11.0, 0.05, 0.05)

        assert self.located(clock, 12.0, 0.05, 0.3) == pytest.approx(12.55, abs=0.001)

    def test_the_reach_is_the_way_back_of_the_slow_answers_and_one_slow_answer_changes_nothing(self):
        clock = SlotClock()
        for second in range(20):
            self.located(clock, float(second), 0.05, 0.052 if second % 4 else 0.05)
        steady = clock.reach
        self.located(clock, 21.0, 0.05, 2.0)

        assert steady == clock.reach == pytest.approx(0.052, abs=0.001)

    def test_the_reach_follows_a_way_that_becomes_longer_or_shorter_and_has_a_bound(self):
        clock = SlotClock()
        reaches = []
        for second, way_back in enumerate([0.05] * 16 + [0.3] * 16 + [7.0] * 16 + [0.05] * 16):
            self.located(clock, float(second), 0.05, way_back)
            reaches.append(clock.reach)

        assert reaches[15::16] == [pytest.approx(way, abs=0.01) for way in (0.05, 0.3, 1.0, 0.05)]

    @pytest.mark.parametrize(("way_back", "bound"), [(0.0003, 0.05), (0.05, 0.15)])
    def test_a_slow_moment_that_a_few_calls_have_seen_delays_nobody_by_as_long(self, way_back, bound):
        clock = SlotClock()
        reaches = []
        for second, way in enumerate([way_back] * 16 + [3.0] * 7 + [way_back] * 16):
            self.located(clock, float(second), way_back, way)
            reaches.append(clock.reach)

        assert max(reaches) == pytest.approx(bound, abs=0.001)
        assert reaches[15] == reaches[-1]

    def test_a_near_redis_has_no_reach(self):
        clock = SlotClock()
        for second in range(16):
            self.located(clock, float(second), 0.002, 0.002)

        assert clock.reach == 0.0

    def test_a_clock_that_is_set_is_followed_within_the_bounds_of_a_reply(self):
        clock = SlotClock()
        self.located(clock, 10.0, 0.001, 0.001)
        forward = clock.locate(11.0, 11.002, int((11.001 + 5000) * 1e6))(int((11.001 + 5000) * 1e6))
        back = clock.locate(12.0, 12.002, int((12.001 - 500) * 1e6))(int((12.001 - 500) * 1e6))

        assert 11.0 <= forward <= 11.0021
        assert 12.0 <= back <= 12.0021

    def test_the_estimate_of_a_clock_that_was_set_back_is_forgotten_at_once(self):
        clock = SlotClock()
        self.located(clock, 10.0, 0.0, 0.0)
        clock.locate(11.0, 11.002, int((11.001 - 500) * 1e6))
        slow = clock.locate(12.0, 12.083, int((12.003 - 500) * 1e6))(int((12.003 - 500) * 1e6))

        assert slow == pytest.approx(12.004, abs=0.001)

    def test_a_fast_reply_is_forgotten_slowly_because_clocks_drift(self):
        clock = SlotClock()
        self.located(clock, 0.0, 0.0, 0.0)

        assert self.located(clock, 100.0, 0.0, 0.2) == pytest.approx(100.5 + 100 * SlotClock.DRIFT, abs=0.001)
