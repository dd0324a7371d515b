"""What `mkdocs build` does beside Markdown: formulae without JavaScript, notebooks as pages, a navigation of what is there."""

import json
import re
from html import escape
from io import StringIO
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.mathtext import math_to_image
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
INTERVAL = re.compile(r"(?<=[\d.]) (±|to) (?=[−+-]?[\d.])")  # kept in one line in the narrow columns of a table
TO_NOTEBOOK = re.compile(r"\]\(\.\./(notebooks/\w+)\.ipynb\)")


def formula(source: str, *_: Any, **__: Any) -> str:
    """A fence of the language `math`, which GitHub shows as a formula too, as a picture that needs no script and no font."""
    drawn = StringIO()
    with matplotlib.rc_context({"mathtext.fontset": "cm", "svg.fonttype": "path", "svg.hashsalt": source, "font.size": 13}):
        math_to_image(f"${' '.join(source.split())}$", drawn, format="svg")
    svg = drawn.getvalue()[drawn.getvalue().index("<svg") :]
    for needless in ("<metadata>.*?</metadata>", "<style.*?</style>", '<g id="patch_1">.*?</g>'):  # the last one: a white ground
        svg = re.sub(needless, "", svg, flags=re.DOTALL)
    return f'<div class="formula" role="img" aria-label="{escape(source.strip(), quote=True)}">{svg}</div>'


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    fence = {"name": "math", "class": "formula", "format": formula}
    config.mdx_configs.setdefault("pymdownx.superfences", {})["custom_fences"] = [fence]
    made = {f"notebooks/{path.stem}.md" for path in NOTEBOOKS.glob("*.ipynb")}
    folder = Path(config.docs_dir)
    config.nav = existing(config.nav, folder, made)
    pages = sorted(page.name for page in folder.glob("*.md") if ".template." not in page.name)
    left = [page for page in pages if page not in str(config.nav)]
    config.nav += [{"Further": left}] if left else []
    return config


def existing(entry: Any, folder: Path, made: set[str]) -> Any:
    """The part of the navigation whose pages are there; None = nothing of it."""
    if isinstance(entry, str):
        return entry if entry in made or (folder / entry).is_file() else None
    if isinstance(entry, list):
        return [kept for kept in (existing(part, folder, made) for part in entry) if kept]
    name, inside = next(iter(entry.items()))
    kept = existing(inside, folder, made)
    return {name: kept} if kept else None


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=page_of(json.loads(path.read_text("utf-8")))))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    lines = TO_NOTEBOOK.sub(r"](\1.md)", markdown).split("\n")
    return "\n".join(INTERVAL.sub("\u00a0\\1\u00a0", line) if line.startswith("| ") else line for line in lines)


def page_of(notebook: dict[str, Any]) -> str:
    """A notebook with its stored outputs as Markdown."""
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source.replace("](../docs/", "](../"))  # the pages lie elsewhere in the site
        elif cell["cell_type"] == "code":
            parts.append(f"```python\n{source}\n```")
            parts += [shown(output["data"]) for output in cell["outputs"] if "data" in output]
    return "\n\n".join(parts)


def shown(data: dict[str, Any]) -> str:
    if "image/png" in data:
        return f'<img alt="output of the cell above" src="data:image/png;base64,{"".join(data["image/png"]).strip()}">'
    if "text/html" in data:
        html = re.sub(r"<style.*?</style>", "", "".join(data["text/html"]), flags=re.DOTALL)
        return '<div class="output">' + "".join(line.strip() for line in html.splitlines()) + "</div>"
    return f'<pre class="output">{escape("".join(data["text/plain"]))}</pre>'
