"""The Procfile's lines. It needs the standard library alone, because other environments read them, too."""

import shlex
from pathlib import Path

PROCFILE = Path(__file__).parents[2] / "Procfile"


def commands():
    """The command of each line, by the line's name."""
    lines = [line.split(":", 1) for line in PROCFILE.read_text().splitlines() if line.strip()]
    return {name.strip(): shlex.split(command) for name, command in lines if not name.startswith("#")}
