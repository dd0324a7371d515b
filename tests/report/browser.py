"""Opens a page in headless Chromium, runs a script in it at a given width, and hands back what the script found.

The page stands in a frame, whose width is exact (a window has a smallest one); the script's answer comes back as a message and is
read from the frame's surroundings. No driver and no network are needed.
"""

import html
import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--enable-blink-features=ComputedAccessibilityInfo",
)  # fmt: skip
NO_CHROMIUM = "no Chromium on this machine: pages are not opened"


def run_in_page(page: Path, script: str, folder: Path, widths: Sequence[int] = (1100,)) -> list[Any]:
    """The value that a script returns, which must be JSON, at each width.

    Args:
        page: HTML file.
        script: Body of a function that runs once the page stands.
        folder: An empty folder for the browser.
        widths: In pixels.
    """
    folder.mkdir(parents=True, exist_ok=True)
    opened = re.sub(r"script-src '[^']*'", "script-src 'unsafe-inline'", page.read_text(encoding="utf-8"))
    call = f"""<script>addEventListener("load", () => {{
      let found; try {{ found = (() => {{ {script} }})(); }} catch (error) {{ found = {{failed: String(error)}}; }}
      parent.postMessage([Number(location.hash.slice(1)), found], "*"); }});</script></body>"""
    (folder / "page.html").write_text(opened.replace("</body>", call), encoding="utf-8")
    frames = "".join(
        f'<iframe src="page.html#{i}" style="width:{w}px;height:900px;border:0"></iframe>' for i, w in enumerate(widths)
    )
    listen = """<pre id="found"></pre><script>const all = [];
      addEventListener("message", ({data: [place, found]}) => { all[place] = found;
        document.getElementById("found").textContent = JSON.stringify(all); });</script>"""
    (folder / "frame.html").write_text(listen + frames, encoding="utf-8")
    dumped = chromium(
        folder, "--window-size=1400,1000", "--virtual-time-budget=10000", "--dump-dom", (folder / "frame.html").as_uri()
    )
    answer = re.search(r'<pre id="found">(.*?)</pre>', dumped, re.S)
    assert answer and answer[1], f"the page gave no answer: {dumped[-400:]}"
    found: list[Any] = json.loads(html.unescape(answer[1]))
    assert len(found) == len(widths) and not any(isinstance(one, dict) and "failed" in one for one in found), found
    return found


def print_page(page: Path, folder: Path) -> bytes:
    """The page as PDF."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "page.pdf"
    chromium(folder, f"--print-to-pdf={file}", "--no-pdf-header-footer", page.resolve().as_uri())
    return file.read_bytes()


def chromium(folder: Path, *arguments: str) -> str:
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={folder / 'profile'}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
