"""This machine's settings, and the libraries that are installed."""

import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from importlib.metadata import version
from typing import Final

from ringproof.network.this_machine import is_this_machine
from ringproof.phone.number_plan import NumberKind
from ringproof.settings import Settings
from ringproof.settings.unknown import hints_about
from worker.observe.doctor.case import Case
from worker.observe.doctor.check import Line, failed, ok, warning

LONG_QUIET: Final = timedelta(hours=20)
"""Quiet hours beyond this leave bulk so little of the day that they are more likely written the wrong way round."""


def settings(case: Case) -> Iterator[Line]:
    """Check that all variables can be read, and that none contradicts another one."""
    for problem in case.problems:
        yield failed(problem, "correct it; docs/guide/settings.md lists all settings")
    for name, hint in hints_about(case.environ):
        yield warning(f"{name} is no setting, so that nothing obeys it", hint)
    if case.settings is None:
        return
    yield from _contradictions(case.settings, case)
    if count := len(case.settings.test_numbers.numbers):
        which = "test number is" if count == 1 else "test numbers are"
        yield _about_test_numbers(case.settings, f"{count} {which} verified by fixed codes, without Plivo")
    whose = "a worker" if case.is_worker else "a web app or an operator: it has no credentials of Plivo's"
    yield ok(f"the environment is that of {whose}; no setting is wrong, and none contradicts another one")


def _contradictions(current: Settings, case: Case) -> Iterator[Line]:
    def is_set(*names: str) -> bool:
        return any(case.environ.get(name, "").strip() for name in names)

    region, countries = current.region, current.countries - {NumberKind.PERSONAL}
    if region and countries and "all" not in countries and region not in countries:
        yield warning(
            f"RINGPROOF_REGION is {region}, which RINGPROOF_COUNTRIES leaves out: each number without a country is "
            "refused",
            f"add {region} to RINGPROOF_COUNTRIES, or set the region of your numbers",
        )
    if current.call_rate.number / current.call_rate.window_seconds > current.rate.number / current.rate.window_seconds:
        yield warning(
            f"RINGPROOF_CALL_RATE ({current.call_rate}) is faster than RINGPROOF_RATE ({current.rate}), which calls "
            "count in, too: it has no effect",
            "set both as Plivo has set them for the account",
        )
    for tight, wide, why in CAPS:
        narrow, broad = getattr(current, tight), getattr(current, wide)
        if broad and narrow > broad:
            yield warning(
                f"RINGPROOF_{tight.upper()} ({narrow}) is more than RINGPROOF_{wide.upper()} ({broad}), which counts "
                f"{why}: it has no effect",
                "lower the first, or raise the second",
            )
    if is_set("RINGPROOF_REVERIFY_MODE") and not current.reverify_after_days:
        yield warning(
            "RINGPROOF_REVERIFY_MODE has no effect without RINGPROOF_REVERIFY_AFTER_DAYS: nothing is verified again",
            "set the days, or leave the mode out",
        )
    if is_set("RINGPROOF_WEBHOOK_SECRETS", "RINGPROOF_WEBHOOK_SECRETS_FILE") and current.webhook_url is None:
        yield warning(
            "RINGPROOF_WEBHOOK_SECRETS has no effect without RINGPROOF_WEBHOOK_URL: no webhook is sent",
            "set the address, or leave the secrets out",
        )
    if is_set("PLIVO_PROXY") and is_this_machine(_host_of(current)):
        yield warning(
            "PLIVO_PROXY has no effect: PLIVO_BASE_URL is this machine, and no proxy is asked for it",
            "for Plivo itself, leave PLIVO_BASE_URL out",
        )
    if current.quiet_hours and (lasts := _lasts(current)) > LONG_QUIET:
        yield warning(
            f"RINGPROOF_QUIET_HOURS ({current.quiet_hours}) leave bulk and schedule only "
            f"{(timedelta(days=1) - lasts).total_seconds() / 3600:.1f} hours a day",
            "write when nothing is sent, such as 21:00-08:00",
        )


def _about_test_numbers(current: Settings, fact: str) -> Line:
    if is_this_machine(_host_of(current)):
        return ok(fact)
    return warning(
        f"{fact}, and the account is live: who knows such a code verifies its number",
        "leave RINGPROOF_TEST_NUMBERS out as soon as nobody needs them",
    )


CAPS: Final = (
    ("range_codes_per_hour", "country_codes_per_hour", "the same codes"),
    ("country_codes_per_hour", "people_codes_per_day", "the same codes"),
    ("requester_codes_per_hour", "requester_codes_per_day", "the same codes for a day"),
)
"""A cap, and a wider one that is reached first if it is not larger. A wider one of 0 is no limit."""


def _host_of(current: Settings) -> str:
    from urllib.parse import urlsplit  # noqa: PLC0415  # only with a proxy

    return urlsplit(current.plivo_base_url).hostname or ""


def _lasts(current: Settings) -> timedelta:
    assert current.quiet_hours is not None  # noqa: S101  # the caller has looked
    day = datetime(2000, 1, 1)  # noqa: DTZ001  # any day, by no zone
    lasts = datetime.combine(day, current.quiet_hours.ends) - datetime.combine(day, current.quiet_hours.begins)
    return lasts % timedelta(days=1)


def libraries(_case: Case) -> Iterator[Line]:
    """Check that the libraries are those that Ringproof is tested with."""
    from worker.celery.readiness import TESTED  # noqa: PLC0415  # it loads Celery

    for name, tested in TESTED.items():
        if version(name) != tested:
            sentence = f"{name} {version(name)} is untested; Ringproof is tested with {tested}"
            yield warning(sentence, f"pip install '{name}=={tested}'")
    shown = ", ".join(f"{name} {tested}" for name, tested in TESTED.items())
    yield ok(f"Ringproof {version('ringproof')}, {shown}, Python {'.'.join(map(str, sys.version_info[:3]))}")
