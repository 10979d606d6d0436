"""One front door for the session, beside the session's worker and sandbox."""

import pytest
from support.front_door import FrontDoor
from support.harness import stopped

from ringproof import runtime
from ringproof.ledger.credentials import issue


@pytest.fixture(scope="session")
def door(with_test_numbers, worker, tmp_path_factory):
    folder = tmp_path_factory.mktemp("door")
    issued = issue(runtime.ledger(), "tests")
    with stopped(FrontDoor(folder / "door.log", with_test_numbers, folder, issued)) as running:
        yield running
