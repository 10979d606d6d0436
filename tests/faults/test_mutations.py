"""The guards that `make mutations` takes out are where it looks for them, and README.md tells of all."""

import pytest
from mutations import MUTATIONS, README, ROOT, table


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.guard)
def test_each_guard_is_there_once_and_so_is_its_test(mutation):
    file, *classes, name = mutation.test.split("::")

    assert (ROOT / mutation.file).read_text().count(mutation.old) == 1
    test = (ROOT / file).read_text()
    assert f"def {name}(" in test
    assert all(f"class {one}:" in test for one in classes)


def test_the_readme_has_them_all():
    assert table() in README.read_text(), "write them with: python tests/faults/mutations.py --write"
