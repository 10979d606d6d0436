"""What the exporter says, as Prometheus reads it."""

import requests
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from support.harness import PATIENCE_SECONDS

from ringproof.ledger.ledger import Ledger
from worker.observe.exporter import RedisCollector


class Scraped(dict[tuple[str, frozenset[tuple[str, str]]], float]):
    """The values of one scrape, by name and labels. `text` is what the exporter said."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                self[sample.name, frozenset(sample.labels.items())] = sample.value

    def value(self, name: str, **labels: str) -> float | None:
        """Return the sum of all series of a metric that have these labels; None if there are none."""
        found = [value for (of, its), value in self.items() if of == name and labels.items() <= dict(its).items()]
        return sum(found) if found else None

    def labels(self, name: str) -> list[dict[str, str]]:
        """Return the labels of all series of a metric."""
        return [dict(its) for of, its in self if of == name]


def scrape(ledger: Ledger) -> Scraped:
    """Return what an exporter says of a ledger now."""
    registry = CollectorRegistry()
    registry.register(RedisCollector(ledger))
    return Scraped(generate_latest(registry).decode())


def scrape_at(url: str) -> Scraped:
    """Ask an exporter, as Prometheus does."""
    with requests.Session() as session:
        session.trust_env = False
        answer = session.get(url, timeout=PATIENCE_SECONDS)
    assert answer.ok, answer.text
    return Scraped(answer.text)
