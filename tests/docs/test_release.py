"""A release has one version, and the changelog tells of it."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()


def test_the_images_of_compose_have_the_version_of_the_package():
    images = re.findall(r"image: ringproof\S*:(\S+)", (ROOT / "docker-compose.yml").read_text())

    assert images
    assert set(images) == {VERSION}


def test_the_readme_names_the_version_of_the_package():
    assert f"This is version {VERSION};" in (ROOT / "README.md").read_text()


def test_the_example_of_a_tag_names_the_version_of_the_package():
    assert f'git tag -a v{VERSION} -m "Ringproof {VERSION}"' in (ROOT / "CONTRIBUTING.md").read_text()


def test_each_release_has_its_date_and_the_commit_that_it_is_built_from():
    first, *released = re.findall(r"^## (\S+) \((.*)\)\n\n(.*)", CHANGELOG, re.MULTILINE)

    assert first[0] == VERSION
    assert released
    for version, date, sentence in released:
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", date), version
        assert re.search(r"built from commit `[0-9a-f]{7,40}`", sentence), version


def test_the_changelog_begins_with_the_version_of_the_package():
    assert re.search(r"^## (\S+)", CHANGELOG, re.MULTILINE)[1] == VERSION


def test_an_entry_of_the_changelog_has_two_lines_at_most():
    entries = re.split(r"^- ", CHANGELOG, flags=re.MULTILINE)[1:]

    assert not [entry for entry in entries if len(entry.split("\n\n")[0].strip().splitlines()) > 2]
