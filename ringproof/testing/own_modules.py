"""Loads Ringproof's packages `worker` and `tasks` where the program under test has modules of the same names."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Final

import ringproof

NAMES: Final = ("worker", "tasks")
ROOT: Final = Path(ringproof.__file__).parents[1]


@contextmanager
def own_modules() -> Iterator[None]:
    """Have `import worker` and `import tasks` load Ringproof's own within the block, and the program's after it.

    A Celery project often has a `tasks.py`. What is loaded within the block imports nothing later.
    """
    if all(map(_is_ours, NAMES)):
        yield
        return
    theirs = _take_out()
    sys.path.insert(0, str(ROOT))
    try:
        yield
    finally:
        sys.path.remove(str(ROOT))
        _take_out()
        sys.modules |= theirs


def _is_ours(name: str) -> bool:
    """Whether this process finds Ringproof's own package by its name."""
    loaded = sys.modules.get(name)
    spec = loaded.__spec__ if loaded else PathFinder.find_spec(name)
    return spec is not None and spec.origin is not None and Path(spec.origin) == ROOT / name / "__init__.py"


def _take_out() -> dict[str, ModuleType]:
    """Take the loaded modules of these names out of Python's list, and return them."""
    names = [name for name in sys.modules if name.partition(".")[0] in NAMES]
    return {name: sys.modules.pop(name) for name in names}
