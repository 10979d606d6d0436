"""What the files for compose, systemd and Kubernetes have to agree with: the Procfile, the command and the settings."""

import re
import shlex

from support.harness import ROOT

from ringproof.settings import Settings
from worker.cli import main

PROCFILE = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
GRACE_SECONDS = 30
"""A send in progress may wait 5 s for its slot and 13 s for Plivo; a worker that finds no Redis goes on for 20 s."""


def as_ringproof(command):
    """Return the words of a command; `celery -A worker worker` is the same as `ringproof worker`."""
    return shlex.split(re.sub(r"^celery -A worker ", "ringproof ", command))


def check_command(words):
    """Raise if `ringproof` has no such command, or the command no such option."""
    program, name, *rest = words
    assert program.rpartition("/")[2] == "ringproof"
    context = main.make_context("ringproof", [name])
    _, command, _ = main.resolve_command(context, [name])
    command.make_context(name, rest, parent=context)


def unknown_settings(names):
    """Return the variables that nothing reads."""
    return set(names) - set(Settings.variables())
