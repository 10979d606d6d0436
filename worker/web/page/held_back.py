"""What is wrong, as the page says it: the findings, and the countries in which codes are held back."""

from collections.abc import Iterator
from dataclasses import dataclass

from ringproof.ledger.control import SendingStatus
from worker.observe.facts import Facts
from worker.observe.findings import Severity, findings
from worker.views.text import clock
from worker.web.page.rendering import capitalized


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing that is wrong, what to do, and its section in the runbook if it has one."""

    severity: Severity
    sentence: str
    remedy: str
    section: str = ""


def remarks(facts: Facts) -> list[Remark]:
    """Return what is wrong, the worst first; nothing if all goes on."""
    found = [
        Remark(one.severity, _sentence(one.sentence), _sentence(one.remedy), str(one.code)) for one in findings(facts)
    ]
    found += _of_countries(facts.sending)
    return sorted(found, key=lambda remark: list(Severity).index(remark.severity))


def _of_countries(status: SendingStatus) -> Iterator[Remark]:
    for one in status.refused_destinations:
        yield Remark(
            Severity.WARNING,
            f"Plivo refuses {one.name} (403) since {clock(one.since)}.",
            "Enable it in Plivo's console (Geo Permissions), then resume. Its numbers wait until their deadline.",
        )
    for breaker in status.breakers:
        if breaker.open_since:
            yield Remark(
                Severity.WARNING,
                f"Hardly any person enters a code to {breaker.country}: only numbers verified before get one.",
                "Look at who asks for codes there. It ends by itself when people enter codes again.",
            )


def _sentence(text: str) -> str:
    return f"{capitalized(text)}." if text else ""
