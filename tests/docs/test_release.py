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


def test_the_changelog_begins_with_the_version_of_the_package():
    assert re.search(r"^## (\S+)", CHANGELOG, re.MULTILINE)[1] == VERSION


def test_an_entry_of_the_changelog_has_two_lines_at_most():
    entries = re.split(r"^- ", CHANGELOG, flags=re.MULTILINE)[1:]

    assert not [entry for entry in entries if len(entry.split("\n\n")[0].strip().splitlines()) > 2]
