"""The preparation script as a person calls it, in this process."""

import importlib.util
from pathlib import Path
from types import ModuleType

from tests.conftest import REPOSITORY


def script(name: str) -> ModuleType:
    """A file of scripts/ as a module."""
    spec = importlib.util.spec_from_file_location(name, REPOSITORY / "scripts" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def prepare_dataset(name: str = "", source: Path | None = None, output: Path | None = None, *options: str) -> int:
    """`python scripts/prepare_dataset.py name --source source --output output ...`; gives the exit code."""
    typed = [name] if name else ["--list"]
    typed += ["--source", str(source)] if source else []
    typed += ["--output", str(output)] if output else []
    return script("prepare_dataset").main([*typed, *options])
