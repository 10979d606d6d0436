"""The words that made sentences hard to read do not come back: in code, in texts that users read, and in the docs."""

import re
import subprocess

from support.harness import ROOT

HARD_TO_READ = re.compile(
    r"\b(whoever|whomever|anew|of which|told|for want of|wherefrom|of whom|heeds?|heeded)\b", re.IGNORECASE
)
"""Words of turned-around sentences. CONTRIBUTING.md says how to write instead."""

READ = {".py", ".lua", ".md", ".toml", ".yml", ".example", ""}
"""The files that people read, by suffix; those without one are the Makefile, the Procfile and the like."""

QUOTES_THEM = {"tests/test_prose.py", "CONTRIBUTING.md"}


def texts():
    """Each tracked file that people read, and its text."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in listed.splitlines():
        file = ROOT / name
        if file.suffix in READ and name not in QUOTES_THEM and file.is_file():
            yield name, file.read_text()


def test_no_text_has_a_word_that_is_hard_to_read():
    found = [
        f"{name}:{at}: {word.group()}"
        for name, text in texts()
        for at, line in enumerate(text.splitlines(), 1)
        for word in HARD_TO_READ.finditer(line.replace("_", " "))
    ]

    assert not found, "\n".join(found)
