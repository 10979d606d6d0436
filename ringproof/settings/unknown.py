"""Variables that look like settings and are none: a typing error would be obeyed by nobody, and noticed by nobody."""

from collections.abc import Iterable, Iterator
from typing import Final

from ringproof.settings import Settings

OWN: Final = "RINGPROOF_"

NO_SETTINGS: Final = frozenset({"RINGPROOF_ACCOUNT", "RINGPROOF_REPOSITORY"})
"""Variables that are no settings of a process: the account that a command is about, and one of another program."""

LONGEST_NAME: Final = 64
"""Characters of a name that are shown."""

_named: set[str] = set()


def unknown_variables(names: Iterable[str]) -> Iterator[str]:
    """Yield a sentence for each `RINGPROOF_…` that is no setting, once a process. It has no value, which may be secret.

    >>> list(unknown_variables(["RINGPROOF_COUNTRYS", "RINGPROOF_RATE", "HOME"]))
    ['RINGPROOF_COUNTRYS is no setting; did you mean RINGPROOF_COUNTRIES?']
    """
    for name, hint in hints_about(names):
        if name not in _named:
            _named.add(name)
            yield f"{name} is no setting; {hint}"


def hints_about(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each name of a `RINGPROOF_…` that is no setting, and which setting may be meant."""
    known = NO_SETTINGS.union(Settings.variables())
    for name in sorted(set(names) - known):
        if name.startswith(OWN):
            yield name[:LONGEST_NAME], _hint(name, Settings.variables())


def _hint(name: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415  # few environments have a typing error

    names = {one.removeprefix(OWN): one for one in known if one.startswith(OWN)}
    nearest = get_close_matches(name.removeprefix(OWN)[:LONGEST_NAME], names, n=1, cutoff=0.75)
    return f"did you mean {names[nearest[0]]}?" if nearest else "docs/guide/settings.md lists all settings"
