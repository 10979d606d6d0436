"""The registered tasks, with the bodies that workers run.

`from tasks import initiate_verification` gives a program the same task as `from ringproof import …`.
A project that has its own module `tasks` needs the second spelling.
"""

from typing import TYPE_CHECKING, Any

import ringproof

if TYPE_CHECKING:
    from ringproof import confirm_verification, import_roster, initiate_verification

__all__ = ["confirm_verification", "import_roster", "initiate_verification"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(ringproof, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
