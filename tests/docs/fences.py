"""What README.md and docs/*.md tell people to type: code between fences, its commands, and the files that one writes."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import REPOSITORY

PAGES = [REPOSITORY / "README.md", *sorted(p for p in (REPOSITORY / "docs").glob("*.md") if ".template." not in p.name)]
FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[\w-]*)\n(?P<text>.*?)^(?P=indent)```", re.DOTALL | re.MULTILINE)
UNCHECKED = re.compile(r"<!-- unchecked: (.*?) -->\s*\Z")
INLINE = re.compile(r"`((?:python (?:src|scripts|benchmarks)/|make )[^`]+)`")
FILE = re.compile(r"`([\w./-]+\.(?:py|yaml))`")
PLACEHOLDER = re.compile(r"<[\w ,./'-]+>")
ASSIGNMENT = re.compile(r"([A-Z_]+)=(.*)", re.DOTALL)


@dataclass(frozen=True)
class Fence:
    """Code of a page.

    Args:
        page: file name.
        line: where it begins, from 1.
        language: bash, python, yaml, json, math, or nothing.
        text: what stands between the fences.
        file: the file that it is to be written to, or into, as the paragraph above says; else None.
        unchecked: why it isn't checked, as a comment above it says; else None.
    """

    page: str
    line: int
    language: str
    text: str
    file: str | None
    unchecked: str | None

    @property
    def where(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Command:
    """A command of a page, its variables filled in and its placeholders replaced by the word `placeholder`."""

    where: str
    words: tuple[str, ...]


def fences(page: Path) -> list[Fence]:
    """The fences of a page, in order."""
    content, found, end = page.read_text(encoding="utf-8"), [], 0
    for match in FENCE.finditer(content):
        before = content[end : match.start()]
        reason = UNCHECKED.search(before)
        paragraph = (before[: reason.start()] if reason else before).rstrip().rpartition("\n\n")[2]
        named = FILE.findall(paragraph) if paragraph.endswith(":") or paragraph.endswith(".") else []
        line = content.count("\n", 0, match.start()) + 1
        file = named[-1] if named and match["language"] in ("python", "yaml") else None
        found.append(Fence(page.name, line, match["language"], match["text"], file, reason[1] if reason else None))
        end = match.end()
    return found


def split_commands(text: str, where: str, variables: dict[str, str]) -> list[Command]:
    """The commands of a shell text; assignments change `variables`."""
    commands = []
    for line in text.replace("\\\n", " ").splitlines():
        if "<TAB>" in line:  # not typed to its end
            continue
        line = PLACEHOLDER.sub("placeholder", line)
        line = re.sub(r"\$([A-Z_]+)", lambda match: variables[match[1]], line)
        words = [word for word in shlex.split(line, comments=True) if word != "..."]
        if words and words[0] == "export":
            del words[0]
        while words and (assignment := ASSIGNMENT.fullmatch(words[0])):
            variables[assignment[1]] = assignment[2]
            del words[0]
        while words:
            end = next((place for place, word in enumerate(words) if word in ("&&", "|", ";")), len(words))
            commands.append(Command(where, tuple(words[:end])))
            words = words[end + 1 :]
    return commands


def commands(page: Path) -> list[Command]:
    """All commands of a page: those between fences, and those of scripts inside a sentence."""
    variables: dict[str, str] = {}
    found = []
    for fence in fences(page):
        if fence.language == "bash" and not fence.unchecked:
            found += split_commands(fence.text, fence.where, variables)
    content = FENCE.sub("", page.read_text(encoding="utf-8"))
    for match in INLINE.finditer(content):
        found += split_commands(" ".join(match[1].split()), f"{page.name}: `{match[1][:40]}`", variables)
    return found


def written_files(page: Path) -> dict[str, str]:
    """The new files that a page has people write: path -> content."""
    return {f.file: f.text for f in fences(page) if f.file and not (REPOSITORY / f.file).exists()}
