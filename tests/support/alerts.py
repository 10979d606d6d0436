"""Which alerts fire, if the exporter goes on saying what it says.

promtool evaluates the rules, where it is: Debian's package `prometheus` has it. Elsewhere only the alerts of findings
are evaluated: their expressions are single selectors.
"""

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import yaml
from support.harness import ROOT
from support.scrape import Scraped

PROMETHEUS = ROOT / "worker/observe/prometheus"
RULES = PROMETHEUS / "alerts.yml"
PROMTOOL = shutil.which("promtool")
ALERTS = {rule["alert"]: rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]}

_OF_FINDING = re.compile(r'ringproof_finding\{code="(\w+)"\} > 0')


def firing(scraped: Scraped, growth: Mapping[str, float] = MappingProxyType({})) -> set[str]:
    """Return the codes of the alerts that fire after two hours of the same scrapes.

    `growth` has series that grow, and by how much each minute.
    """
    names = _by_promtool(scraped, growth) if PROMTOOL else _by_selectors(scraped)
    return {ALERTS[name]["annotations"]["runbook_url"].partition("#")[2] for name in names}


def _by_selectors(scraped: Scraped) -> set[str]:
    found = {name: _OF_FINDING.fullmatch(rule["expr"]) for name, rule in ALERTS.items()}
    return {name for name, match in found.items() if match and scraped.value("ringproof_finding", code=match[1])}


def _by_promtool(scraped: Scraped, growth: Mapping[str, float]) -> set[str]:
    lines = [line for line in scraped.text.splitlines() if line and not line.startswith("#")]
    values = {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}
    values |= {name: values.get(name, 0.0) for name in growth}
    series = [{"series": name, "values": f"{value:g}+{growth.get(name, 0):g}x150"} for name, value in values.items()]
    test = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": series,
                "promql_expr_test": [
                    {
                        "expr": 'count by (alertname) (ALERTS{alertstate="firing"}) > 0',
                        "eval_time": "2h",
                        "exp_samples": [{"labels": '{alertname="what fires"}', "value": 1}],
                    }
                ],
            }
        ],
    }
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        json.dump(test, file)  # which YAML can be read from
        file.flush()
        done = subprocess.run([PROMTOOL, "test", "rules", file.name], capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert "got:" in said, said
    return set(re.findall(r'alertname=\\?"(Ringproof\w+)', said.partition("got:")[2]))


def complaints_about_rules() -> str:
    """Return what promtool says against the rules and the configuration; empty: nothing."""
    return _complaints("config", PROMETHEUS / "prometheus.yml")


def complaints_about(expressions: Mapping[str, str]) -> str:
    """Return what promtool says against expressions, by where they stand; empty: nothing."""
    rules = [{"record": f"record:{nth}", "expr": one} for nth, one in enumerate(expressions.values())]
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        json.dump({"groups": [{"name": "all", "rules": rules}]}, file)
        file.flush()
        return _complaints("rules", Path(file.name))


def _complaints(kind: str, file: Path) -> str:
    done = subprocess.run([PROMTOOL, "check", kind, str(file)], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr
