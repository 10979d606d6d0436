"""The base class of the errors of the demo's processes."""

from ringproof.errors import RingproofError


class LocalProcessError(RingproofError):
    """A process on this machine did not start, or has ended."""

    @property
    def link(self) -> str:
        """The page about the demo: the page of errors explains those of applications only."""
        return "docs/guide/demo.md"
