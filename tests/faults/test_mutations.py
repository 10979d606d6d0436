"""The guards that `make mutations` takes out are where it looks for them, and README.md tells of all."""

from pathlib import Path

import pytest
from mutations import MUTATIONS, README, ROOT, having, main, table

from ringproof.ledger import scripts

LUA = ROOT / "ringproof" / "ledger" / "lua"
IN_LUA = [one for one in MUTATIONS if one.file.endswith(".lua")]
IN_PYTHON = [one for one in MUTATIONS if one.file.endswith(".py")]


def name_of(file):
    return Path(file).relative_to(LUA).with_suffix("").as_posix()


SCRIPTS = [name_of(file) for file in LUA.rglob("*.lua") if file.parent.name != "lib"]
PIECES = {script: scripts.pieces_of(script) for script in SCRIPTS}


def without_guard(mutation):
    return (ROOT / mutation.file).read_text().replace(mutation.old, mutation.new)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.guard)
def test_each_guard_is_there_once_and_so_is_its_test(mutation):
    file, *classes, name = mutation.test.split("::")

    assert (ROOT / mutation.file).read_text().count(mutation.old) == 1
    test = (ROOT / file).read_text()
    assert f"def {name}(" in test
    assert all(f"class {one}:" in test for one in classes)


@pytest.mark.parametrize("mutation", IN_PYTHON, ids=lambda mutation: mutation.guard)
def test_python_reads_the_file_without_the_guard(mutation):
    """Or its test would fail for that."""
    assert compile(without_guard(mutation), mutation.file, "exec")


@pytest.mark.long  # a minute for all
@pytest.mark.parametrize("mutation", IN_LUA, ids=lambda mutation: mutation.guard)
def test_redis_compiles_each_script_without_the_guard(mutation, client, monkeypatch):
    name, text, read = name_of(ROOT / mutation.file), without_guard(mutation), scripts.lua_source
    monkeypatch.setattr(scripts, "lua_source", lambda asked: text if asked == name else read(asked))
    piece = name.removeprefix("lib/")
    changed = [name] if name == piece else [one for one in SCRIPTS if piece in PIECES[one]]

    assert changed
    for script in changed:
        assert client.script_load(scripts.script_text(script))


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
