"""A check, and the lines that it leaves: what was tried, how it ended, and what to do."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from worker.observe.doctor.case import Case
from worker.observe.finding import Code, Finding, Severity

SOON: Final = timedelta(days=14)
"""How long before its end a certificate is named. Public ones are renewed a month before."""


class Result(StrEnum):
    """How a check ended. What was not tried needs something else first, and its line says what."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    NOT_TRIED = "not_tried"


@dataclass(frozen=True, slots=True)
class Line:
    """What one check found. `code` is that of the finding, if `ringproof status` names the same.

    `until` is when it ends by itself, if it does.
    """

    result: Result
    sentence: str
    remedy: str = ""
    code: Code | None = None
    until: datetime | None = None
    check: str = ""

    @property
    def link(self) -> str:
        """The section of the runbook: what was seen, why, and what to do."""
        return f"docs/operating/runbook.md#{self.code or self.check}"


def needs_nothing(_case: Case) -> str:
    """Need nothing before a check."""
    return ""


@dataclass(frozen=True, slots=True)
class Check:
    """One check: what it looks at itself, and the findings of `ringproof status` that are its subject.

    `needs` returns why it cannot be tried, or "" if it can.
    """

    name: str
    look: Callable[[Case], Iterable[Line]]
    needs: Callable[[Case], str] = needs_nothing
    codes: Collection[Code] = ()

    def run(self, case: Case) -> list[Line]:
        """Return its lines: all that is wrong, or else what is right. It raises nothing: a check that breaks failed."""
        try:
            missing = self.needs(case)
            lines = [Line(Result.NOT_TRIED, missing)] if missing else self._lines(case)
        except Exception as error:  # noqa: BLE001  # all other checks have their lines all the same
            lines = [broken(error)]
        return [replace(line, check=self.name) for line in lines]

    def _lines(self, case: Case) -> list[Line]:
        found = [of_finding(one) for one in case.findings if one.code in self.codes]
        lines = [*found, *self.look(case)]
        return [line for line in lines if line.result is not Result.OK] or lines


def ok(sentence: str) -> Line:
    """Return the line of a check that found nothing wrong."""
    return Line(Result.OK, sentence)


def warning(sentence: str, remedy: str) -> Line:
    """Return a line about something that will hurt later, or some."""
    return Line(Result.WARNING, sentence, remedy)


def failed(sentence: str, remedy: str, code: Code | None = None) -> Line:
    """Return a line about something that holds sending back, or loses data."""
    return Line(Result.FAILED, sentence, remedy, code)


def of_finding(finding: Finding) -> Line:
    """Return the line of a finding: what makes `ringproof status` end with another code than 0 has failed."""
    result = Result.WARNING if finding.severity is Severity.WARNING else Result.FAILED
    return Line(result, finding.sentence, finding.remedy, finding.code, finding.until)


def broken(error: Exception) -> Line:
    """Return the line of a check that ended with an error nobody expected. An error's text may have a number in it."""
    return failed(
        f"the check itself broke ({type(error).__name__})", "report it, with the version: ringproof --version"
    )
