"""The registered tasks: their bodies, as workers run them.

`from tasks import initiate_verification` gives a producer the same task as `from ringproof import …`.

A project that has a module `tasks` of its own imports the same three names from `ringproof`.
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
