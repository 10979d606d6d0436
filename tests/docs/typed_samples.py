"""Check the types of the documentation's Python: `make check` runs it, with mypy --strict and with pyright.

    python tests/docs/typed_samples.py

A page's fragments and its dialogues with Python become one module each. Files keep their titles. The applications of
examples/ are checked where they lie.
"""

import doctest
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from pages import ROOT, fences

FRAGMENTS = """\
from datetime import UTC, datetime
from ringproof import confirm_verification, import_roster, initiate_verification, is_verified, verified_numbers
from ringproof.celery.app import app
verification = initiate_verification.delay("+14155550123")
phone_number = "+14155550123"
rows = [phone_number]
"""
"""What a fragment may use without saying so: it was on the same page before."""

MISTAKES = """\
from ringproof import check_number, confirm_verification, initiate_verification

verification = initiate_verification.delay("+14155550123")
initiate_verification.delay("+14155550123", alais="Front desk")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
initiate_verification.delay("+14155550123", channel="fax")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
initiate_verification.delay(14155550123)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
initiate_verification.delay()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
initiate_verification.apply_async(("x",), queue="bulk")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
confirm_verification.delay("+14155550123")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
confirm_verification.delay("+14155550123", 482913)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
confirm_verification.delay("+14155550123", "482913", request=None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
verification.get(timeout=10)["sent_at"]  # type: ignore[typeddict-item]  # pyright: ignore[reportGeneralTypeIssues]
check_number("+14155550123", channel="fax")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
verification.state == "SENT"  # type: ignore[comparison-overlap]  # pyright: ignore[reportUnnecessaryComparison]


async def mistakes() -> None:
    awaited = await initiate_verification.adelay("+14155550123", channel="fax")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    (await awaited.wait(timeout=10))["sent_at"]  # type: ignore[typeddict-item]  # pyright: ignore[reportGeneralTypeIssues]
    await confirm_verification.aconfirm("+14155550123", timeout=10)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
"""  # noqa: E501  # a comment of this kind stands on the line that it is about
"""What a program must not get past the checkers. Without types, each comment would be one too many: an error, too."""

MYPY = """\
[mypy]
strict = true
# The frameworks of samples that ship no types are Any, as they are to a user without stubs for them.
ignore_missing_imports = true
disallow_subclassing_any = false
disallow_any_generics = false
disallow_untyped_decorators = false

# pytest's fixtures are known by their names.
[mypy-{tests}]
disallow_untyped_defs = false
disallow_incomplete_defs = false
"""
PYRIGHT = {
    "reportUnusedExpression": False,  # a dialogue shows values
    "reportUnnecessaryComparison": True,
    "reportUnnecessaryTypeIgnoreComment": True,
    "enableTypeIgnoreComments": False,  # they are for mypy
}

WITH = ("--warnings", "--pythonpath", sys.executable)
"""The options of pyright."""


def modules() -> dict[str, str]:
    """Return the documentation's Python, by the path of the file that it stands for."""
    found = {"mistakes.py": MISTAKES}
    for fence in fences("python"):
        if fence.title.startswith("accounts/"):
            continue  # a file of examples/django, which is checked there, with mypy's plugin for Django
        if fence.title:
            found[fence.title] = fence.text
        else:
            path = f"{fence.page.stem.replace('-', '_')}_fragments.py"
            found[path] = found.get(path, FRAGMENTS) + fence.text
    parser = doctest.DocTestParser()
    for fence in fences("pycon"):
        path = f"{fence.page.stem.replace('-', '_')}_dialogue.py"
        found[path] = found.get(path, FRAGMENTS) + "".join(one.source for one in parser.get_examples(fence.text))
    return found


def _tests(titles: Iterable[str]) -> list[str]:
    """Return the names of the modules that pytest collects."""
    return [path.stem for path in map(Path, titles) if path.stem.startswith("test_")]


def projects() -> int:
    """Run both checkers in each application of examples/, by its own pyproject.toml; return 1 if one finds an error."""
    here = Path(sys.executable).parent
    folders = sorted(file.parent for file in (ROOT / "examples").glob("*/pyproject.toml"))
    cache = f"--cache-dir={ROOT}/.mypy_cache/examples"
    commands = [[here / "mypy", "--python-executable", sys.executable, cache, "."], [here / "pyright", *WITH, "."]]
    return max(
        subprocess.run(command, cwd=folder, check=False).returncode for folder in folders for command in commands
    )


def main() -> int:
    """Run both checkers; return 1 if one of them finds an error."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = modules()
        for title, text in files.items():
            (folder / title).parent.mkdir(parents=True, exist_ok=True)
            (folder / title).write_text(text)
        (folder / "mypy.ini").write_text(MYPY.format(tests=",".join(_tests(files))))
        (folder / "pyrightconfig.json").write_text(json.dumps(PYRIGHT))
        here = Path(sys.executable).parent
        own = (f"--cache-dir={ROOT}/.mypy_cache/samples", "--python-executable", sys.executable)
        commands = (
            [here / "mypy", *own, "--explicit-package-bases", "."],
            [here / "pyright", *WITH, "."],
        )
        of_the_pages = max(subprocess.run(command, cwd=folder, check=False).returncode for command in commands)
    return max(of_the_pages, projects())


if __name__ == "__main__":
    sys.exit(main())
