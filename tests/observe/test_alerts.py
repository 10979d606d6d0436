"""The alerts and the dashboard: they name metrics that there are, and an alert fires for each finding, and no other."""

import json
import re

import pytest
import redis
from support.alerts import ALERTS, PROMTOOL, complaints_about, complaints_about_rules, firing
from support.harness import ROOT
from support.number_in_ledger import SENT, Book
from support.scrape import Scraped, scrape

from worker.observe.finding import Code
from worker.observe.metric import ACCOUNT, METRICS, Kind

NAMES = {metric.name: metric for metric in METRICS}
DASHBOARD = json.loads((ROOT / "worker/observe/grafana/ringproof.json").read_text())
PANELS = {panel["title"]: panel for panel in DASHBOARD["panels"] if panel["type"] != "row"}
EXPRESSIONS = {name: rule["expr"] for name, rule in ALERTS.items()} | {
    f"{title}, {nth}": target["expr"] for title, panel in PANELS.items() for nth, target in enumerate(panel["targets"])
}
needs_promtool = pytest.mark.skipif(
    not PROMTOOL, reason="promtool is not installed: Debian's package prometheus has it"
)

_SELECTOR = re.compile(r"\b(ringproof_\w+)(?:\{([^}]*)\})?")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring) ?\(([^)]*)\)")


@pytest.fixture(scope="module")
def scraped(redis_server):
    """What the exporter says of an installation where nothing is wrong but that nobody works."""
    with redis.Redis.from_url(redis_server.url, decode_responses=True) as client:
        book = Book(client)
        book.bring(SENT, country="US")
        return scrape(book.ledger)


def healthy(scraped, **wrong):
    """Return a scrape in which only these findings are wrong."""
    lines = []
    for line in scraped.text.splitlines():
        if match := re.match(r'ringproof_finding\{code="(\w+)",severity="(\w+)"\}', line):
            lines.append(f"{match[0]} {float(wrong.get(match[1]) == match[2])}")
        else:
            lines.append(line)
    return Scraped("\n".join(lines) + "\n")


def metric_of(name):
    """Return the metric that a series is of: `ringproof_x_bucket` is of `ringproof_x`."""
    if name in NAMES:
        return NAMES[name]
    metric = NAMES.get(re.sub(r"_(bucket|sum|count)$", "", name))
    return metric if metric and metric.kind is Kind.HISTOGRAM else None


@pytest.mark.parametrize("place", EXPRESSIONS)
def test_each_metric_and_label_that_is_named_is_there(place):
    expression = EXPRESSIONS[place]
    selectors = _SELECTOR.findall(expression)

    assert selectors
    labels = set()
    for name, matchers in selectors:
        metric = metric_of(name)
        assert metric, f"{name} is no metric"
        own = {*metric.labels, ACCOUNT, "le"}
        labels |= own
        assert set(re.findall(r"(\w+) ?[=!]", matchers)) <= own, f"{name} has not these labels"
    for names in _GROUPING.findall(expression):
        assert set(re.findall(r"\w+", names)) <= labels, f"nothing has these labels: {names}"


@pytest.mark.parametrize("place", EXPRESSIONS)
def test_a_count_is_used_by_its_growth_and_nothing_else_is(place):
    for function, name in re.findall(r"(\w*)\(?(ringproof_\w+)", EXPRESSIONS[place]):
        grows = metric_of(name).kind is not Kind.GAUGE
        assert grows == (function in {"rate", "increase"}), name


@pytest.mark.parametrize("name", [name for name, rule in ALERTS.items() if "ringproof_finding{" in rule["expr"]])
def test_each_alert_of_a_finding_watches_a_series_that_is_always_there(scraped, name):
    for code in re.findall(r'code="(\w+)"', ALERTS[name]["expr"]):
        assert scraped.value("ringproof_finding", code=code) is not None


def test_each_finding_has_an_alert_of_its_name_and_no_alert_has_none():
    names = {"Ringproof" + "".join(part.capitalize() for part in code.split("_")): code for code in Code}

    assert {name: rule["annotations"]["runbook_url"] for name, rule in ALERTS.items() if name in names} == {
        name: f"docs/operating/runbook.md#{code}" for name, code in names.items()
    }
    for name, code in names.items():
        assert f'code="{code}"' in ALERTS[name]["expr"]


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_says_what_is_so_and_where_the_runbook_says_what_to_do(name):
    rule = ALERTS[name]
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")

    assert rule["annotations"]["summary"].endswith(".")
    assert "for" in rule
    assert re.search(rf'^#+ `{anchor}`$|id="{anchor}"', (ROOT / page).read_text(), re.MULTILINE)


@needs_promtool
def test_prometheus_reads_the_rules_and_the_panels():
    assert complaints_about_rules() == ""
    assert complaints_about({name: one.replace("$__rate_interval", "1m") for name, one in EXPRESSIONS.items()}) == ""


def test_nothing_fires_while_nothing_is_wrong(scraped):
    assert firing(healthy(scraped)) == set()


@pytest.mark.parametrize("code", Code)
def test_for_a_finding_its_alert_fires_and_no_other(scraped, code):
    assert firing(healthy(scraped, **{code: "stopped"})) == {code}


@needs_promtool
@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("ringproof_agenda_lag_seconds 400", "agenda_late"),
        ("ringproof_in_doubt 150", "many_in_doubt"),
        ('ringproof_breaker_open{country="FR"} 1', "breaker_open"),
        ('ringproof_events_oldest_seconds{consumer="webhooks"} 2000', "events_wait"),
        ("ringproof_redis_memory_limit_bytes 1", "redis_nearly_full"),
    ],
)
def test_a_figure_that_is_wrong_has_an_alert(scraped, line, code):
    text = healthy(scraped).text
    name = line.split(" ")[0]
    kept = [one for one in text.splitlines() if not one.startswith(name + " ")]

    assert firing(Scraped("\n".join([*kept, line]) + "\n")) == {code}


_FAILED = 'ringproof_outcomes_total{country="US",state="failed",reason="rejected",channel="sms",lane="bulk"}'
_ACCEPTED = 'ringproof_accepted_total{country="US",channel="sms",lane="bulk"}'
_WAITED = 'ringproof_slot_wait_seconds_bucket{le="%s",lane="interactive"}'


@needs_promtool
@pytest.mark.parametrize(
    ("growth", "codes"),
    [
        ({_FAILED: 30, _ACCEPTED: 100}, {"many_fail"}),
        ({_FAILED: 10, _ACCEPTED: 100}, set()),
        ({_FAILED: 1, _ACCEPTED: 1}, set()),  # too few to say anything
        ({_WAITED % "5.0": 80, _WAITED % "60.0": 100, _WAITED % "+Inf": 100}, {"people_wait"}),
        ({_WAITED % "5.0": 99, _WAITED % "60.0": 100, _WAITED % "+Inf": 100}, set()),
        ({'ringproof_events_given_up_total{consumer="webhooks"}': 0.1}, {"events_given_up"}),
    ],
)
def test_a_count_that_grows_too_fast_has_an_alert(scraped, growth, codes):
    assert firing(healthy(scraped), growth) == codes


@needs_promtool
def test_an_exporter_that_is_away_has_an_alert():
    assert firing(Scraped("up 0\n")) == {"metrics_away"}
