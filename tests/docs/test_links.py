"""Links between README.md, docs/*.md and the notebooks lead somewhere on plain GitHub too, and the site is built of them."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.docs.fences import FENCE, PAGES

ELSEWHERE = re.compile(
    r"<(?:script|img|iframe)[^>]+src=.?(?:https?:)?//|<link[^>]+(?:sheet|connect|icon)[^>]+href=.?(?:https?:)?//"
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page.

    >>> import tempfile; page = Path(tempfile.mkdtemp()) / "page.md"
    >>> _ = page.write_text("# A `b/c`, d\\n\\n## A / B\\n\\n## A / B\\n")
    >>> sorted(anchors(page))
    ['a--b', 'a--b-1', 'a-bc-d']
    """
    found: list[str] = []
    for heading in re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        found.append(f"{slug}-{found.count(slug)}" if slug in found else slug)
    return set(found)


def text_of(page: Path) -> str:
    if page.suffix != ".ipynb":
        return FENCE.sub("", page.read_text(encoding="utf-8"))
    cells = json.loads(page.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


@pytest.mark.parametrize("page", [*PAGES, *NOTEBOOKS], ids=lambda path: path.name)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in LINK.findall(re.sub(r"`[^`\n]*`", "", text_of(page))):
        file, _, anchor = link.partition("#")
        target = page.parent / file if file else page
        if re.match(r"[a-z]+:", link):
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.slow
def test_the_site_builds_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    """`mkdocs build --strict`, in a process of its own; the extra `docs` must be installed."""
    pytest.importorskip("material", reason="the extra `docs` isn't installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > 20 and [page.name for page in pages if ELSEWHERE.search(page.read_text(encoding="utf-8"))] == []
