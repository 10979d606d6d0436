"""The last release as its users have it: the wheel of the commit that CHANGELOG.md names, in its own environment."""

import re
import subprocess
import sys
import sysconfig
import venv

import pytest
from support.harness import ROOT

RELEASE = re.compile(r"^## (\S+) \(\d{4}-\d\d-\d\d\)\n\n.*built from commit `([0-9a-f]+)`", re.MULTILINE)


def last_release():
    """The version and the commit of the newest release that CHANGELOG.md dates."""
    found = RELEASE.search((ROOT / "CHANGELOG.md").read_text())
    assert found, "CHANGELOG.md names no release with its commit"
    return found[1], found[2]


def install(folder):
    """Install the last release; return its Python. It takes what the release needs from the tests' own environment.

    Nothing is downloaded. Skips the test if git does not have the commit.
    """
    version, commit = last_release()
    if _git("cat-file", "-e", f"{commit}^{{commit}}").returncode:
        pytest.skip(f"git does not have {commit}, which is {version}: this is a shallow clone, or no clone")
    source = folder / "source"
    source.mkdir()
    archive = _git("archive", commit)
    subprocess.run(["tar", "-x"], input=archive.stdout, cwd=source, check=True)
    build = ["wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder, source]
    _pip(*build)
    [wheel] = folder.glob("ringproof-*.whl")
    assert wheel.name.startswith(f"ringproof-{version}-")
    venv.create(folder / "venv")
    python = folder / "venv" / "bin" / "python"
    _pip("--python", python, "install", "--no-deps", "--no-index", "--no-compile", wheel)
    # Behind the environment's own packages, so that `ringproof` is the release. The .pth files there are not followed:
    # one of them leads to this project.
    [packages] = (folder / "venv" / "lib").glob("python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    shown = subprocess.run(
        [python, "-m", "worker", "--version"], cwd=folder, capture_output=True, text=True, check=True
    )
    assert version in shown.stdout
    return python


def _git(*arguments):
    return subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, check=False)


def _pip(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
