"""Quiet hours: nobody is woken by a roster, whatever the zone and the season, and everybody gets a code by day."""

import json
import os
import subprocess
import sys
import time as stopwatch
from collections import Counter
from datetime import UTC, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phonenumbers import PhoneNumberFormat, PhoneNumberType
from phonenumbers.timezone import time_zones_for_number
from phonenumbers.tzdata import TIMEZONE_DATA

from ringproof.errors import InvalidNumber
from ringproof.phone import notations, quiet_hours
from ringproof.phone.number import parse
from ringproof.phone.quiet_hours import QuietHours, zones_of

NIGHT = QuietHours.parse("21:00-08:00")
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

NEW_YORK, BERLIN, LONDON = "+12125552671", "+493012345678", "+442079460958"
MUMBAI, KATHMANDU, TOKYO, SYDNEY = "+912226543210", "+97714123456", "+81312345678", "+61293744000"
TOLL_FREE, RUSSIAN, AUSTRALIAN, JAMAICAN = "+18002345678", "+79123456789", "+61412345678", "+18762101234"
AMERICAN = "+15212345678"
"""A number of the United States that has no area code: it could ring anywhere."""

NUMBERS = (
    *(NEW_YORK, BERLIN, LONDON, MUMBAI, KATHMANDU, TOKYO, SYDNEY, TOLL_FREE, RUSSIAN, AUSTRALIAN, JAMAICAN, AMERICAN),
    *("+80012345678", "+6493001234", "+551123456789", "+35312345678", "+68672001234", "+12462501234"),
)

clocks = st.times().map(lambda wall: wall.replace(second=0, microsecond=0, fold=0))
windows = (
    st.tuples(clocks, clocks).filter(lambda bounds: bounds[0] != bounds[1]).map(lambda bounds: QuietHours(*bounds))
)
moments = st.datetimes(datetime(2024, 1, 1), datetime(2036, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # it adds it


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def local(text, zone):
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


def begins(window, number, now):
    """The moment of a number's morning, without the place that its hash gives it afterwards."""
    before, quiet_hours.SPREAD = quiet_hours.SPREAD, timedelta()
    try:
        return window.until(number, now)
    finally:
        quiet_hours.SPREAD = before


def awake(window, number, moment):
    """In how many zones of a number it is day."""
    return sum(moment.astimezone(ZoneInfo(zone)).time() not in window for zone in zones_of(number))


def next_day(window, number, now):
    """The same by looking at every minute of two days."""
    minute = now.replace(second=0, microsecond=0)
    counts = [awake(window, number, minute + ahead * MINUTE) for ahead in range(2 * 24 * 60)]
    ahead = counts.index(max(counts))
    return minute + ahead * MINUTE if ahead else None


class TestTheWindow:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("21:00-08:00", "21:00-08:00"),
            ("12:00-14:00", "12:00-14:00"),
            ("00:00-23:59", "00:00-23:59"),
            ("22:30-00:00", "22:30-00:00"),
            (" 21:07-07:59\n", "21:07-07:59"),
        ],
    )
    def test_is_two_times_of_day(self, text, shown):
        assert str(QuietHours.parse(text)) == shown

    @pytest.mark.parametrize(
        "text",
        [
            "",
            " ",
            "-",
            "off",
            "21:00",
            "21:00-",
            "-08:00",
            "25:99-08:00",
            "21:00-24:00",
            "21:60-08:00",
            "08:00-08:00",
            "00:00-00:00",
            "21-8",
            "21:00-8:00",
            "9:00-17:00",
            "21:00 - 08:00",
            "21:00–08:00",
            "21:00/08:00",
            "21.00-08.00",
            "2100-0800",
            "9pm-8am",
            "21:00:00-08:00:00",
            "21:00-08:00 UTC",
            "21:00-08:00,12:00-14:00",
            "21:00-08:00\n21:00-08:00",
            "-21:00-08:00",
            "٢١:٠٠-٠٨:٠٠",
            "2" * 100_000,
        ],
    )
    def test_is_nothing_else_and_says_how_it_is_written(self, text):
        with pytest.raises(ValueError, match="such as 21:00-08:00") as caught:
            QuietHours.parse(text)

        assert str(caught.value) == notations.QUIET_HOURS

    @pytest.mark.parametrize(
        ("first", "last"),
        [
            (time(8), time(8)),
            (time(21, 0, 30), time(8)),
            (time(21), time(8, 0, 0, 1)),
            (time(21, tzinfo=UTC), time(8)),
        ],
    )
    def test_cannot_be_made_as_it_could_not_be_written(self, first, last):
        with pytest.raises(ValueError, match="such as 21:00-08:00"):
            QuietHours(first, last)

    @given(windows)
    def test_is_read_again_as_it_is_written(self, window):
        assert QuietHours.parse(str(window)) == window

    @given(windows, st.times())
    def test_has_each_time_of_day_or_the_window_of_the_other_hours_has(self, window, wall):
        assert (wall in window) != (wall in QuietHours(window.ends, window.begins))

    def test_does_not_change(self):
        with pytest.raises(AttributeError):
            NIGHT.begins = time(22)


class TestANumberInOneZone:
    @pytest.mark.parametrize(
        "wall", ["2026-01-15T08:00", "2026-01-15T08:00:00.000001", "2026-01-15T14:30", "2026-01-15T20:59:59.999999"]
    )
    def test_is_not_delayed_by_day(self, wall):
        assert NIGHT.until(NEW_YORK, local(wall, "America/New_York")) is None

    @pytest.mark.parametrize(
        ("wall", "morning"),
        [
            ("2026-01-15T21:00", "2026-01-16T08:00"),
            ("2026-01-15T23:59:59.999999", "2026-01-16T08:00"),
            ("2026-01-16T00:00", "2026-01-16T08:00"),
            ("2026-01-16T07:59:59.999999", "2026-01-16T08:00"),
        ],
    )
    def test_waits_for_its_own_morning_by_night(self, wall, morning):
        begins_at = begins(NIGHT, NEW_YORK, local(wall, "America/New_York"))

        assert begins_at == local(morning, "America/New_York")

    @pytest.mark.parametrize(
        ("number", "morning"),
        [
            (NEW_YORK, "2026-01-16T13:00"),
            (LONDON, "2026-01-16T08:00"),
            (BERLIN, "2026-01-16T07:00"),
            (MUMBAI, "2026-01-16T02:30"),
            (KATHMANDU, "2026-01-16T02:15"),
            (TOKYO, "2026-01-15T23:00"),
            (SYDNEY, "2026-01-15T21:00"),
        ],
    )
    def test_has_its_morning_by_its_own_clock(self, number, morning):
        assert begins(NIGHT, number, utc(morning) - MINUTE) == utc(morning)
        assert begins(NIGHT, number, utc(morning)) is None

    def test_may_be_left_alone_at_noon(self):
        noon = QuietHours.parse("12:00-14:00")

        assert begins(noon, MUMBAI, local("2026-01-15T13:00", "Asia/Kolkata")) == utc("2026-01-15T08:30")
        assert begins(noon, MUMBAI, local("2026-01-15T03:00", "Asia/Kolkata")) is None

    def test_is_the_same_moment_in_whatever_zone_the_caller_counts(self):
        now = utc("2026-01-16T05:00")
        elsewhere = now.astimezone(timezone(timedelta(hours=9)))

        assert NIGHT.until(NEW_YORK, now) == NIGHT.until(NEW_YORK, elsewhere)
        assert NIGHT.until(NEW_YORK, now).tzinfo is UTC

    def test_is_refused_for_a_clock_without_a_zone(self):
        with pytest.raises(ValueError, match="no time zone"):
            NIGHT.until(NEW_YORK, datetime(2026, 1, 16, 5))  # noqa: DTZ001  # that is the point


class TestANightInWhichTheClocksAreChanged:
    @pytest.mark.parametrize(
        ("number", "evening", "morning"),
        [
            (NEW_YORK, "2025-03-09T03:00", "2025-03-09T12:00"),  # to summer: 08:00 is an hour sooner
            (NEW_YORK, "2025-11-02T02:00", "2025-11-02T13:00"),
            (BERLIN, "2025-03-29T22:00", "2025-03-30T06:00"),
            (BERLIN, "2025-10-25T21:00", "2025-10-26T07:00"),
            (SYDNEY, "2025-04-05T12:00", "2025-04-05T22:00"),
            (SYDNEY, "2025-10-04T13:00", "2025-10-04T21:00"),
        ],
    )
    def test_ends_at_the_same_hour_of_the_wall_clock(self, number, evening, morning):
        assert begins(NIGHT, number, utc(evening)) == utc(morning)

    @pytest.mark.parametrize(
        ("number", "window", "now", "morning"),
        [
            (NEW_YORK, "22:00-02:30", "2025-03-09T06:59", "2025-03-09T07:00"),  # 01:59, and a minute later 03:00
            (BERLIN, "22:00-02:30", "2025-03-30T00:00", "2025-03-30T01:00"),
        ],
    )
    def test_ends_with_the_hour_that_is_left_out_if_its_end_is_in_it(self, number, window, now, morning):
        assert begins(QuietHours.parse(window), number, utc(now)) == utc(morning)

    def test_begins_with_the_hour_that_is_left_out_if_its_beginning_is_in_it(self):
        window = QuietHours.parse("02:30-08:00")

        assert begins(window, BERLIN, utc("2025-03-30T00:59")) is None
        assert begins(window, BERLIN, utc("2025-03-30T01:00")) == utc("2025-03-30T06:00")

    @pytest.mark.parametrize(("number", "first_end"), [(NEW_YORK, "2025-11-02T05:30"), (BERLIN, "2025-10-26T00:30")])
    def test_has_two_ends_where_an_hour_comes_twice(self, number, first_end):
        end = utc(first_end)
        window = QuietHours(time(22), end.astimezone(ZoneInfo(zones_of(number)[0])).time())

        assert begins(window, number, end - MINUTE) == end
        assert begins(window, number, end) is None
        assert begins(window, number, end + 29 * MINUTE) is None
        assert begins(window, number, end + 30 * MINUTE) == end + HOUR
        assert window.until(number, end - MINUTE) - end < 30 * MINUTE

    def test_is_found_where_it_falls_on_midnight(self):
        beirut, window = "+9611123456", QuietHours.parse("21:00-00:30")

        assert begins(window, beirut, utc("2022-03-26T21:59")) == utc("2022-03-26T22:00")  # 24:00 is 01:00
        assert begins(window, beirut, utc("2022-10-29T20:30")) == utc("2022-10-29T22:30")  # 23:30 comes twice

    def test_may_be_a_half_hour_longer(self, monkeypatch):
        monkeypatch.setattr(quiet_hours, "zones_of", lambda _: ("Australia/Lord_Howe",))

        assert begins(NIGHT, SYDNEY, utc("2025-04-05T12:00")) == utc("2025-04-05T21:30")
        assert begins(NIGHT, SYDNEY, utc("2025-10-04T12:00")) == utc("2025-10-04T21:00")

    def test_may_leave_out_a_whole_day(self, monkeypatch):
        monkeypatch.setattr(quiet_hours, "zones_of", lambda _: ("Pacific/Apia",))

        assert begins(NIGHT, SYDNEY, utc("2011-12-30T08:00")) == local("2011-12-31T08:00", "Pacific/Apia")


class TestANumberInSeveralZones:
    @pytest.mark.parametrize("number", [TOLL_FREE, AMERICAN])
    def test_of_all_of_plus_1_is_awake_from_guams_morning_to_newfoundlands_evening(self, number):
        assert len(zones_of(number)) == 42
        assert begins(NIGHT, number, utc("2026-01-15T15:00")) == utc("2026-01-15T22:00")
        assert begins(NIGHT, number, utc("2026-01-16T00:29")) is None
        assert begins(NIGHT, number, utc("2026-01-16T00:30")) == utc("2026-01-16T22:00")
        assert begins(NIGHT, number, utc("2026-07-15T15:00")) == utc("2026-07-15T22:00")
        assert begins(NIGHT, number, utc("2026-07-15T23:30")) == utc("2026-07-16T22:00")

    def test_of_a_russian_mobile_is_awake_from_kaliningrads_morning_to_kamchatkas_evening(self):
        assert len(zones_of(RUSSIAN)) == 16
        assert begins(NIGHT, RUSSIAN, utc("2026-01-15T12:00")) == utc("2026-01-16T06:00")
        assert begins(NIGHT, RUSSIAN, utc("2026-01-16T08:59")) is None
        assert begins(NIGHT, RUSSIAN, utc("2026-01-16T09:00")) == utc("2026-01-17T06:00")

    def test_of_an_australian_mobile_is_awake_from_the_cocos_islands_to_lord_howe(self):
        assert len(zones_of(AUSTRALIAN)) == 8
        assert begins(NIGHT, AUSTRALIAN, utc("2026-01-15T11:00")) == utc("2026-01-16T01:30")
        assert begins(NIGHT, AUSTRALIAN, utc("2026-01-16T09:59")) is None
        assert begins(NIGHT, AUSTRALIAN, utc("2026-01-16T10:00")) == utc("2026-01-17T01:30")
        assert begins(NIGHT, AUSTRALIAN, utc("2026-07-16T10:29")) is None

    def test_that_are_never_awake_together_gets_its_code_when_the_most_are(self):
        short = QuietHours.parse("20:00-12:00")
        now = utc("2026-01-15T03:00")
        morning = begins(short, TOLL_FREE, now)
        counts = [awake(short, TOLL_FREE, now + ahead * MINUTE) for ahead in range(2 * 24 * 60)]

        assert max(counts) < 42
        assert awake(short, TOLL_FREE, morning) == max(counts)
        assert morning == next_day(short, TOLL_FREE, now)
        assert begins(short, TOLL_FREE, morning) is None, "and is not put off again when its time has come"

    def test_may_be_awake_together_again_after_the_clocks_are_changed(self):
        # Newfoundland's evening is an hour later in winter, and then still reaches Guam's morning.
        window = QuietHours.parse("20:00-09:15")
        summers = begins(window, TOLL_FREE, utc("2025-10-30T12:00"))

        assert summers < utc("2025-10-31T12:00")
        assert awake(window, TOLL_FREE, summers) < 42
        assert begins(window, TOLL_FREE, utc("2025-11-01T12:00")) == utc("2025-11-02T23:15"), "for which it waits"

    @given(windows, st.sampled_from(NUMBERS), moments)
    @settings(max_examples=60)
    def test_is_what_a_look_at_every_minute_finds(self, window, number, now):
        assert begins(window, number, now) == next_day(window, number, now)

    @given(windows, st.sampled_from(NUMBERS), moments)
    def test_waits_two_days_at_most_and_is_not_put_off_again_when_its_time_has_come(self, window, number, now):
        morning = window.until(number, now)
        if morning is not None:
            assert now < morning < now + 2 * DAY + HOUR
            assert awake(window, number, morning) < len(zones_of(number)) or window.until(number, morning) is None


class TestTheZones:
    @pytest.mark.parametrize(
        "kind", [PhoneNumberType.FIXED_LINE, PhoneNumberType.MOBILE, PhoneNumberType.TOLL_FREE, PhoneNumberType.VOIP]
    )
    def test_are_those_of_phonenumbers_for_every_number_that_is_taken(self, kind):
        wrong, looked_at = [], 0
        for region in sorted(phonenumbers.SUPPORTED_REGIONS):
            example = phonenumbers.example_number_for_type(region, kind)
            for last in ["", *range(0, 10_000, 997)]:
                text = phonenumbers.format_number(example, PhoneNumberFormat.E164) if example else ""
                text = text[: len(text) - len(str(last))] + str(last)
                if not is_taken(text) or is_an_islands_mobile(text):
                    continue
                looked_at += 1
                if zones_of(text) != time_zones_for_number(phonenumbers.parse(text)):
                    wrong.append(text)

        assert not wrong
        assert looked_at > 100

    @given(st.sampled_from([1, 7, 39, 44, 52, 54, 55, 61, 62, 86, 91]), st.text("0123456789", min_size=8, max_size=11))
    def test_are_those_of_phonenumbers_for_any_number_of_a_large_country(self, code, national):
        text = f"+{code}{national}"
        if is_taken(text) and parse(text).e164 == text and not is_an_islands_mobile(text):
            assert zones_of(text) == time_zones_for_number(phonenumbers.parse(text))

    @pytest.mark.parametrize(
        ("number", "zones"),
        [
            (JAMAICAN, ("America/Jamaica",)),
            ("+12462501234", ("America/Barbados",)),
            ("+16847331234", ("Pacific/Pago_Pago",)),
        ],
    )
    def test_of_an_islands_mobile_are_the_islands(self, number, zones):
        assert len(time_zones_for_number(phonenumbers.parse(number))) == 42
        assert zones_of(number) == zones

    @pytest.mark.parametrize("number", ["+80012345678", "+882123456789", "+97912345678", "+999123456789"])
    def test_of_a_number_of_no_country_are_utc(self, number):
        assert zones_of(number) == ("UTC",)
        assert begins(NIGHT, number, utc("2026-01-15T21:00")) == utc("2026-01-16T08:00")

    def test_of_a_number_that_is_none_any_more_are_those_of_its_calling_code(self):
        assert zones_of("+15555555555") == zones_of(TOLL_FREE)
        assert zones_of("+4912") == ("Europe/Berlin",)

    def test_are_known_without_the_machines_own(self):
        code = """
import json, zoneinfo
from phonenumbers.tzdata import TIMEZONE_DATA
assert zoneinfo.TZPATH == ()
print(json.dumps(sorted({zone for zones in TIMEZONE_DATA.values() for zone in zones} - zoneinfo.available_timezones())))
"""
        environ = os.environ | {"PYTHONTZPATH": ""}
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=environ, timeout=60)

        assert json.loads(done.stdout) == []

    def test_count_as_utc_where_the_machine_is_too_old_to_know_them(self, monkeypatch):
        monkeypatch.setattr(quiet_hours, "zones_of", lambda _: ("Mars/Olympus_Mons",))

        assert begins(NIGHT, NEW_YORK, utc("2026-01-15T22:00")) == utc("2026-01-16T08:00")

    def test_are_as_many_combinations_as_are_remembered(self):
        assert len(set(TIMEZONE_DATA.values())) < quiet_hours._next_day.cache_info().maxsize


def is_taken(text):
    try:
        return bool(parse(text))
    except InvalidNumber:
        return False


def is_an_islands_mobile(text):
    return text.startswith("+1") and phonenumbers.number_type(phonenumbers.parse(text)) == PhoneNumberType.MOBILE


class TestTheMorning:
    NOW = utc("2026-01-16T05:00")
    MORNING = utc("2026-01-16T13:00")

    @given(st.integers(2_000_000, 9_999_999))
    def test_gives_each_number_a_place_in_its_first_hour_and_always_the_same(self, subscriber):
        number = f"+1212{subscriber}"
        morning = NIGHT.until(number, self.NOW)

        assert self.MORNING <= morning < self.MORNING + HOUR
        assert NIGHT.until(number, self.NOW + 2 * HOUR) == morning
        assert NIGHT.until(number, self.NOW + DAY) == morning + DAY

    def test_gives_it_the_same_in_every_process(self):
        assert NIGHT.until(NEW_YORK, self.NOW) == utc("2026-01-16T13:25:01.648")

    def test_gives_neighbours_places_far_apart_and_no_minute_too_many(self):
        mornings = [NIGHT.until(f"+1212555{line:04}", self.NOW) for line in range(6000)]
        minutes = Counter((moment - self.MORNING) // MINUTE for moment in mornings)

        assert set(minutes) == set(range(60))
        assert all(60 <= count <= 140 for count in minutes.values()), "100 each, as chance has it"

    def test_is_spread_over_the_day_where_that_is_shorter(self):
        window = QuietHours.parse("08:10-08:00")
        mornings = [window.until(f"+1212555{line:04}", self.NOW) for line in range(500)]

        assert min(mornings) >= self.MORNING
        assert self.MORNING + 9 * MINUTE < max(mornings) < self.MORNING + 10 * MINUTE

    def test_is_that_of_the_zones_together_where_there_are_several(self):
        mornings = [begins_of_a_short_day(line) for line in range(200)]

        assert utc("2026-01-15T23:00") <= min(mornings)
        assert max(mornings) < utc("2026-01-15T23:30")

    def test_is_found_for_ten_thousand_numbers_in_a_moment(self):
        numbers = [f"+1212555{line:04}" for line in range(10_000)]
        began = stopwatch.process_time()
        for number in numbers:
            NIGHT.until(number, self.NOW)

        assert stopwatch.process_time() - began < 1, "measured: 0.08 s"


def begins_of_a_short_day(line):
    """When a toll-free number may be called, if it is day from 09:00 to 20:00: half an hour in all 42 zones."""
    return QuietHours.parse("20:00-09:00").until(f"+1800234{line:04}", utc("2026-01-15T12:00"))
