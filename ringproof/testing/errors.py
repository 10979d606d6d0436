"""The errors of the fixtures themselves."""

from ringproof.errors import RingproofError


class TestingError(RingproofError):
    """Something that a test needs is not there, or went wrong beside the test."""

    __test__ = False  # pytest takes a class of this name for tests

    @property
    def link(self) -> str:
        """The page about the fixtures: the page of errors explains those of applications only."""
        return "docs/guide/testing.md"


class NotInstalled(TestingError):
    """A package is missing that the fixtures need. Install the extra `testing`."""

    def __init__(self, package: str) -> None:
        super().__init__(package)
        self.package = package

    def _text(self) -> str:
        return (
            f"the package {self.package} is missing; it comes with the extra testing. Beside your clone of Ringproof: "
            'pip install "./ringproof[testing]"; docs/guide/installing.md has other ways'
        )


class InstallationFailed(TestingError):
    """The process with Redis, the sandbox and the worker did not start, has ended, or does not answer.

    `log` has the last lines that it wrote.
    """

    def __init__(self, cause: str, log: str) -> None:
        super().__init__(cause, log)
        self.cause, self.log = cause, log

    def _text(self) -> str:
        return f"{self.cause}; its last lines:\n{self.log}" if self.log else self.cause


class NoCode(TestingError, LookupError):
    """A phone has got no code. `state` is that of its number."""

    def __init__(self, number: str, state: str) -> None:
        super().__init__(number, state)
        self.state = state

    def _text(self) -> str:
        return (
            f"{self.args[0]} has got no code; its number is {self.state}. Did the application call "
            "initiate_verification.delay? ringproof.travel(minutes=…) goes on to when a waiting number is sent"
        )


class StillAtWork(TestingError, TimeoutError):
    """The worker is still at work after the time that a test waits for it."""

    def __init__(self, seconds: float, doing: str) -> None:
        super().__init__(seconds, doing)
        self.doing = doing

    def _text(self) -> str:
        return f"the worker is still at work after {self.args[0]:.0f} s: {self.doing}"


class NotEager(TestingError):
    """The codes of the eager mode are asked for, and this process is not in it."""

    def _text(self) -> str:
        return (
            "this process is not in the eager mode; write `with ringproof.testing.eager() as sent:`, or set "
            "RINGPROOF_TEST=eager before it starts"
        )
