"""Puts what a benchmark has measured into the README, between its marks."""

import re
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def write(name, text):
    """Replace what stands between `<!-- NAME -->` and `<!-- end -->`."""
    pattern = rf"(<!-- {re.escape(name)} -->\n).*?(<!-- end -->)"
    changed, count = re.subn(
        pattern, lambda marks: f"{marks[1]}{text}\n{marks[2]}", README.read_text(), flags=re.DOTALL
    )
    if count != 1:
        raise SystemExit(f"the README has {count} blocks named {name!r}")
    README.write_text(changed)
