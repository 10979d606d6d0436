"""Modules that need an extra of Ringproof's, such as `web`: a plain installation does without."""

from importlib import import_module
from typing import Any

from ringproof.errors import Misconfigured


def import_with(extra: str, module: str) -> Any:
    """Load a module that needs an extra. Raises `Misconfigured` with how to install it, if a package is missing."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise Misconfigured(
            f"{error.name} is not installed; it comes with the extra {extra}. Beside your clone of Ringproof: "
            f'pip install "./ringproof[{extra}]"; docs/guide/installing.md has other ways'
        ) from None
