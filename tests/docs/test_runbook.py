"""The runbook has a section for each thing that can be wrong, with what was seen, why, and what to do."""

import re

import pytest
from pages import ROOT, anchors

from worker.observe.doctor.examination import GROUPS
from worker.observe.finding import Code

RUNBOOK = ROOT / "docs/operating/runbook.md"
SECTIONS = re.findall(r"^### `(\w+)`\n(.*?)(?=^##|\Z)", RUNBOOK.read_text(), re.MULTILINE | re.DOTALL)


def test_every_finding_has_a_section():
    assert set(Code) <= {name for name, _ in SECTIONS}


def test_every_check_of_the_doctors_leads_to_a_section():
    checks = {check.name for group in GROUPS for check in group.checks}

    assert checks <= anchors(RUNBOOK)


@pytest.mark.parametrize(("name", "text"), SECTIONS, ids=[name for name, _ in SECTIONS])
def test_a_section_says_what_was_seen_why_and_what_to_do(name, text):
    parts = re.findall(r"^- \*\*(\w+):\*\* \S", text, re.MULTILINE)

    assert parts == ["Seen", "Why", "Do"], name
