"""Imports go down only, so that each room can be read, tested and used without those above it."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "src" / "biasmask"
ABOVE = {  # room -> what it must not import
    "methods": {"data", "metrics", "models", "modules", "pipeline", "report", "cli"},
    "metrics": {"data", "methods", "models", "modules", "pipeline", "report", "cli"},
    "data": {"metrics", "models", "modules", "pipeline", "report", "cli"},
    "models": {"modules", "pipeline", "report", "cli"},
    "modules": {"pipeline", "report", "cli"},
    "report": {"data", "models", "modules", "pipeline", "cli"},
    "cli": {"data", "methods", "metrics", "models", "modules"},
}
FOREIGN_TO_METHODS = {"lightning", "hydra", "omegaconf", "timm", "pandas", "torchmetrics"}


def imports_of(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("room", sorted(ABOVE))
def test_a_room_imports_only_rooms_below(room: str) -> None:
    files = sorted((PACKAGE / room).rglob("*.py"))
    assert files
    for file in files:
        upward = {name for name in imports_of(file) if name.startswith("biasmask.") and name.split(".")[1] in ABOVE[room]}
        assert not upward, f"{file.relative_to(PACKAGE)} imports {sorted(upward)}"


def test_methods_know_neither_lightning_nor_config_nor_files() -> None:
    for file in (PACKAGE / "methods").glob("*.py"):
        roots = {name.split(".")[0] for name in imports_of(file)}
        assert not roots & FOREIGN_TO_METHODS, f"{file.name} imports {sorted(roots & FOREIGN_TO_METHODS)}"


def test_package_inits_import_nothing() -> None:
    for file in PACKAGE.rglob("__init__.py"):
        assert not imports_of(file), f"{file.relative_to(PACKAGE)} makes every import of the package heavy"
