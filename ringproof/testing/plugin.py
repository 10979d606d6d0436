"""The pytest plugin: the fixtures `ringproof`, `phones` and `ringproof_eager`. Until a test asks for one of them,
nothing is loaded.
"""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from ringproof.testing.installation import Installation
    from ringproof.testing.phones import Phones
    from ringproof.testing.ringproof import Ringproof
    from ringproof.testing.sent import Sent

OURS: Final = "ringproof"
EAGER_MODE: Final = "ringproof.testing.eager_mode"


def pytest_itemcollected(item: pytest.Item) -> None:
    """Have our fixture come first of a test's: what makes the application may read the environment."""
    names = getattr(item, "fixturenames", None)
    if isinstance(names, list) and OURS in names:
        names.remove(OURS)
        names.insert(0, OURS)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Have each test begin with nothing, if RINGPROOF_TEST has begun the eager mode."""
    if eager_mode := sys.modules.get(EAGER_MODE):
        eager_mode.start_again()


@pytest.fixture(scope="session")
def _ringproof_installation() -> Iterator["Installation"]:
    """A Redis, a sandbox and a worker for all tests of this process; xdist's processes have one each."""
    from ringproof.errors import RingproofError  # noqa: PLC0415  # most runs of pytest need none of it
    from ringproof.testing.installation import Installation  # noqa: PLC0415

    try:
        installation = Installation().start()
    except RingproofError as error:
        pytest.fail(f"the fixture ringproof: {error.message}", pytrace=False)
    yield installation
    installation.stop()


@pytest.fixture
def ringproof(_ringproof_installation: "Installation") -> Iterator["Ringproof"]:
    """Ringproof for one test: a worker on a Redis of its own, and the sandbox in Plivo's place. Nothing is sent.

    The test begins with an empty ledger, empty inboxes and the right time. For as long as it lasts, the variables
    `RINGPROOF_…` and `PLIVO_…` of this process are those of this installation.
    """
    from ringproof.testing.ringproof import Ringproof  # noqa: PLC0415  # most runs of pytest need none of it

    with _ringproof_installation.used():
        yield Ringproof(_ringproof_installation)


@pytest.fixture
def phones(ringproof: "Ringproof") -> "Phones":
    """The phones of all people: what each one has got, and what its person enters."""
    return ringproof.phones


@pytest.fixture
def ringproof_eager() -> Iterator["Sent"]:
    """Ringproof for one test without Redis, a worker and Plivo; it is what `with ringproof.testing.eager()` gives."""
    from ringproof.testing.eager_mode import eager  # noqa: PLC0415  # most runs of pytest need none of it

    with eager() as sent:
        yield sent
