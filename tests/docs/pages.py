"""The pages of the documentation, and what is in them: fenced blocks, headings, links."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted(ROOT.glob("examples/*/README.md")))

_FENCE = re.compile(r"^```(\w*)(?: title=\"([^\"]+)\")?[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Fence:
    """A fenced block: where it is, in which language, under which title."""

    page: Path
    language: str
    title: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}: {self.title or self.text.partition(chr(10))[0]}"


def fences(*languages: str) -> list[Fence]:
    """Return the blocks of all pages in these languages, or in all."""
    found = [Fence(page, *match.groups(default="")) for page in PAGES for match in _FENCE.finditer(page.read_text())]
    return [fence for fence in found if not languages or fence.language in languages]


def file(title: str) -> str:
    """Return the block with this title."""
    [found] = [fence for fence in fences() if fence.title == title]
    return found.text


def anchors(page: Path) -> set[str]:
    """Return a page's anchors: its headings, as MkDocs and GitHub name them, and what has an id of its own."""
    text = _FENCE.sub("", page.read_text())
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    slugs = {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}
    return slugs | set(re.findall(r'id="([^"]+)"', text))


def links(page: Path) -> list[str]:
    """Return where a page's links lead that stay within the repository."""
    text = _FENCE.sub("", page.read_text())
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
