import subprocess
import sys

import procfile
import pytest
import side_by_side
from support.harness import ROOT


@pytest.mark.parametrize("folder", ["", "no/such/folder"])
def test_without_the_comparison_it_says_where_to_point(folder):
    command = [sys.executable, side_by_side.__file__, folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.strip() == side_by_side.WITHOUT_PEERS


def test_a_host_runs_each_line_of_the_procfile():
    commands = procfile.commands()

    assert list(commands) == [line.partition(":")[0] for line in procfile.PROCFILE.read_text().splitlines()]
    assert {command[0] for command in commands.values()} == {"celery"}
