"""The guards that `make mutations` takes out are where it looks for them, and README.md tells of all."""

import pytest
from mutations import MUTATIONS, README, ROOT, having, main, table


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.guard)
def test_each_guard_is_there_once_and_so_is_its_test(mutation):
    file, *classes, name = mutation.test.split("::")

    assert (ROOT / mutation.file).read_text().count(mutation.old) == 1
    test = (ROOT / file).read_text()
    assert f"def {name}(" in test
    assert all(f"class {one}:" in test for one in classes)


def test_the_readme_has_them_all():
    assert table() in README.read_text(), "write them with: python tests/faults/mutations.py --write"


def test_words_choose_guards_by_their_description_or_file():
    chosen = having(["Gate", "begin.lua"])

    assert chosen
    assert {one.file for one in chosen} == {"ringproof/ledger/lua/number/begin.lua"}
    assert having([]) == list(MUTATIONS)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--help"], 0, "take out only the guards"),
        (["no", "such guard"], 2, "no guard has the words 'no such guard'"),
        (["--write", "gate"], 2, "leave the words out"),
        (["--all"], 2, "unrecognized arguments: --all"),
    ],
)
def test_a_command_line_that_runs_nothing_says_why(arguments, code, says, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert ended.value.code == code
    assert says in " ".join("".join(capsys.readouterr()).split())
