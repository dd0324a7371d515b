"""What can be chosen, read off the comments of the YAML files themselves, so that no list of it is ever out of date."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
NOT_CHOSEN = {"hydra", "paths", "local"}  # groups that are there once
KEY = re.compile(r"(?:- )?(?:optional )?(?P<key>[\w@/]+):(?P<value>[^#]*)(?:#\s*(?P<comment>.*))?$")
FIELD = re.compile(r"(?P<name>paper|data|time): (?P<value>.+)")


@dataclass(frozen=True)
class Choice:
    """A file of a group: what is typed, what it is in one line, and further fields of its header."""

    name: str
    about: str
    fields: dict[str, str]


@dataclass(frozen=True)
class Key:
    """A key at the top of an entry point's file, or a group in its defaults."""

    name: str
    value: str
    about: str


def header(path: Path) -> list[str]:
    """The comment lines that a file begins with, without `# @package`."""
    lines: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        text = line.removeprefix("#").strip()
        if text and not text.startswith("@package"):
            lines.append(text)
    return lines


def groups(configs: Path = CONFIGS) -> list[str]:
    """Names of the config groups whose files are chosen for a run.

    >>> "experiment" in groups(), "paths" in groups()
    (True, False)
    """
    return sorted(key.name for key in keys("train", configs)[0])


def choices(group: str, configs: Path = CONFIGS) -> list[Choice]:
    """The files of a group that can be chosen, those of its subfolders (`text/...`) last; parts of other files are left out.

    >>> [choice.name for choice in choices("metrics")]
    ['default', 'text']
    """
    folder = configs / group
    found = []
    for path in sorted(folder.rglob("*.yaml"), key=lambda file: (len(file.parts), file)):
        name = path.relative_to(folder).with_suffix("").as_posix()
        if is_part(name):
            continue
        lines = header(path)
        fields = {match["name"]: match["value"] for line in lines if (match := FIELD.fullmatch(line))}
        found.append(Choice(name, lines[0] if lines else "", fields))
    return found


def is_part(name: str) -> bool:
    """Whether a file only holds what others of its group have in common.

    >>> is_part("stage/locate"), is_part("text_base"), is_part("bmft")
    (True, True, False)
    """
    return name.startswith("stage/") or name.rpartition("/")[2] == "base" or name.endswith("_base")


def keys(entry: str, configs: Path = CONFIGS) -> tuple[list[Key], list[Key]]:
    """Groups and keys at the top of `train.yaml` or `eval.yaml`, each with the comment on its line.

    >>> [key.about for key in keys("train")[1] if key.name == "threads"]
    ['CPU threads of torch; null = all cores for a lone run, 1 in a sweep']
    """
    chosen: list[Key] = []
    own: list[Key] = []
    for line, in_defaults in _lines(configs / f"{entry}.yaml"):
        match = KEY.fullmatch(line)
        if match:
            key = Key(match["key"], match["value"].strip(), (match["comment"] or "").strip())
            (chosen if in_defaults else own).append(key)
    return [key for key in chosen if key.name not in NOT_CHOSEN], own


def _lines(path: Path) -> Iterator[tuple[str, bool]]:
    in_defaults = False
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("defaults:"):
            in_defaults = True
        elif line and not line.startswith((" ", "#")):
            in_defaults = False
            yield line.rstrip(), False
        elif in_defaults:
            yield line.strip(), True
