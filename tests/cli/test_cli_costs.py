"""What an import costs, as the command shows it, and the budget that stops it."""

import itertools
import json

import pytest
from support.harness import fresh_number

_NAMES = itertools.count()


@pytest.fixture
def name():
    return f"costs {next(_NAMES)}"


@pytest.fixture
def roster(tmp_path):
    """A roster of so many numbers of the United States, and others."""

    def write(count, *others):
        file = tmp_path / "people.csv"
        file.write_text("Phone\n" + "\n".join([*(fresh_number() for _ in range(count)), *others]))
        return str(file)

    return write


def shown(run, name):
    return json.loads(run("batch", "show", name, "--json").stdout)


def test_the_forecast_has_the_amount_and_names_countries_without_a_price(run, roster, tmp_path):
    file = roster(3, "+447400123456", "+4915112345678")
    (tmp_path / "prices").write_text("# ours\nUS=0.0475\nGB=0.04\n")

    done = run("import", file, "--dry-run", "--price", "US=0.0475,GB=0.04", "--currency", "USD")
    as_json = json.loads(run("import", file, "--dry-run", "--price", "prices", "--json").stdout)

    assert "costs       0.1825 USD, by your prices; DE has none" in done.stdout
    assert as_json["cost"] == {"amount": "0.1825", "budget": None, "currency": "", "unpriced": ["DE"]}


def test_an_import_over_the_budget_is_refused_and_leaves_nothing(run, roster, name):
    file = roster(10)
    options = ("--price", "US=0.05", "--budget", "0.49", "--currency", "EUR")

    refused = run("import", file, "--batch", name, "--yes", *options)
    forecast = run("import", file, "--dry-run", *options)

    assert (refused.returncode, forecast.returncode) == (1, 1)
    sentence = "nothing was imported: the codes cost 0.50 EUR, and the budget is 0.49 EUR"
    assert sentence in " ".join(refused.stderr.split())
    assert sentence in " ".join(forecast.stderr.split())
    assert f"no batch is named {name}" in run("batch", "show", name).stderr


def test_a_budget_needs_a_price_of_each_country(run, roster, name):
    file = roster(1, "+447400123456")

    refused = run("import", file, "--batch", name, "--yes", "--price", "US=0.05", "--budget", "9")
    taken = run("import", file, "--batch", name, "--paused", "--price", "US=0.05,*=0.1", "--budget", "9")

    assert refused.returncode == 1
    assert "there is no price of GB; add it to --price, or *=AMOUNT for all others" in " ".join(refused.stderr.split())
    assert taken.returncode == 0


def test_a_budget_without_prices_is_a_wrong_usage(run, roster):
    refused = run("import", roster(1), "--dry-run", "--budget", "9")

    assert refused.returncode == 2
    assert "--budget needs prices: --price US=0.05" in " ".join(refused.stderr.split())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--price", "US=5c"), "5c"),
        (("--price", "missing.txt"), "missing.txt is not allowed; no prices can be read there (No such file"),
        (("--price", ""), "'' is not allowed; write US=0.05"),
    ],
)
def test_a_wrong_option_is_named_with_its_value_and_the_way_out(run, roster, options, text):
    refused = run("import", roster(1), "--dry-run", *options)

    assert refused.returncode == 2
    assert text in " ".join(refused.stderr.split())
    assert "is not allowed;" in " ".join(refused.stderr.split())


def test_batch_show_and_status_have_what_a_batch_has_cost(run, roster, name):
    done = run(
        "import", roster(2), "--batch", name, "--paused", "--price", "US=0.05", "--budget", "1", "--currency", "$"
    )
    view, sending = run("batch", "show", name).stdout, run("status").stdout

    assert "costs       0.10 of a budget of 1.00 $, by your prices" in done.stdout
    assert "0.00 of 1.00 $" in view
    assert f"{name} paused: 0.00 of 1.00 $" in sending
    assert shown(run, name)["cost"] == {
        "spent": "0",
        "budget": "1",
        "currency": "$",
        "unpriced": [],
        "payer": name,
    }
    assert json.loads(run("status", "--json").stdout)["costs"][name]["budget"] == "1"


def test_a_batch_is_resumed_with_another_budget(run, roster, name):
    run("import", roster(2), "--batch", name, "--paused", "--price", "US=0.05", "--budget", "1")

    resumed = run("batch", "resume", name, "--budget", "2.50")
    run("batch", "pause", name)
    none = run("batch", "resume", name, "--budget", "0.01")

    assert resumed.returncode == 0
    assert shown(run, name)["cost"]["budget"] == "0.01"
    assert none.returncode == 1
    assert "stays paused: its budget does not pay for another code (0.00 of 0.01)" in " ".join(none.stdout.split())
