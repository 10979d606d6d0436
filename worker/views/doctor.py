"""The doctor's lines, as a person and as a script reads them."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from rich.table import Table
from rich.text import Text

from ringproof.printable import printable
from worker.observe.doctor.check import Line, Result
from worker.views.text import counted, json_line

STYLES: Final = {Result.OK: "green", Result.WARNING: "yellow", Result.FAILED: "bold red", Result.NOT_TRIED: "dim"}


def group_view(name: str, lines: Sequence[Line]) -> Table:
    """Lay out the lines of a group, below its name.

    Redis
      ok         redis          redis://127.0.0.1:6379/0 answers, with the prefix ringproof
      warning    redis_memory   Redis uses 3.4 GB of maxmemory 4.0 GB: room for 880,330 more numbers, …
                                do: raise maxmemory, or let less be kept: RINGPROOF_RECORD_DAYS
                                see: docs/operating/runbook.md#redis_memory
    """
    table = Table.grid(padding=(0, 2))
    for _ in range(2):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.title, table.title_justify, table.title_style = Text(name, "bold"), "left", ""
    for line in _without_repetition(lines):
        table.add_row(Text(f"  {_word(line.result)}", STYLES[line.result]), line.check, _said(line))
    return table


def _without_repetition(lines: Sequence[Line]) -> Iterator[Line]:
    """Yield the lines. Those that were not tried for one reason are one: their names are in it."""
    reasons = Counter(line.sentence for line in lines if line.result is Result.NOT_TRIED)
    for line in lines:
        if line.result is not Result.NOT_TRIED or reasons[line.sentence] == 1:
            yield line
        elif reasons[line.sentence]:
            reasons[line.sentence] = 0
            names = ", ".join(one.check for one in lines if one.sentence == line.sentence)
            yield replace(line, check="", sentence=f"{line.sentence}: {names}")


def _said(line: Line) -> Text:
    said = Text(printable(line.sentence))
    if line.remedy:
        said.append(f"\ndo: {printable(line.remedy)}")
    if line.result in {Result.WARNING, Result.FAILED}:
        said.append(f"\nsee: {line.link}", "dim")
    return said


def summary(groups: Mapping[str, Sequence[Line]]) -> Text:
    """Return how many checks ended in which way: `21 ok, 1 warning, 2 failed, 3 not tried`."""
    counts = Counter(line.result for lines in groups.values() for line in lines)
    parts = {
        Result.OK: f"{counts[Result.OK]} ok",
        Result.WARNING: counted(counts[Result.WARNING], "warning"),
        Result.FAILED: f"{counts[Result.FAILED]} failed",
        Result.NOT_TRIED: f"{counts[Result.NOT_TRIED]} not tried",
    }
    worst = next((one for one in (Result.FAILED, Result.WARNING) if counts[one]), Result.OK)
    return Text(", ".join(text for result, text in parts.items() if counts[result]), STYLES[worst])


def doctor_json(groups: Mapping[str, Sequence[Line]]) -> str:
    """Return all lines as a line of JSON: `{"ok": false, "checks": [{"check": "redis", "result": "failed", …}, …]}`."""
    checks = [
        {
            "group": name,
            "check": line.check,
            "result": line.result,
            "code": line.code,
            "until": line.until,
            "sentence": line.sentence,
            "remedy": line.remedy,
            "link": line.link,
        }
        for name, lines in groups.items()
        for line in lines
    ]
    return json_line({"ok": not has_failed(groups), "checks": checks})


def has_failed(groups: Mapping[str, Sequence[Line]]) -> bool:
    """Whether any check has failed."""
    return any(line.result is Result.FAILED for lines in groups.values() for line in lines)


def _word(result: Result) -> str:
    return result.replace("_", " ")
