"""Writing files so that no reader ever sees half of one, and telling a refusal of the system in one line."""

import errno
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from biasmask.errors import StoreError


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A path to write to, beside a file's place; it is renamed at the end, so that no reader ever sees half of the file.

    Raises:
        StoreError: the disk is full or the folder can't be written; what stood there before is kept.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except Exception as error:
        temporary.unlink(missing_ok=True)
        if (refused := refusal_of_system(error)) is None:
            raise
        raise storage_error(refused, path) from error


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file beside its place and rename it (see `replaced`)."""
    with replaced(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def yaml_content(text: str) -> Any:
    """What a YAML text holds, plain values only; read by libyaml where PyYAML has it, ten times as fast.

    Raises:
        yaml.YAMLError: the text isn't YAML, or holds objects.

    >>> yaml_content("seed: 1")
    {'seed': 1}
    """
    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def refusal_of_system(error: BaseException) -> OSError | None:
    """What the operating system refused, also where a library in Rust tells it in a class of its own; None: it refused nothing.

    >>> refusal_of_system(RuntimeError("I/O error: No space left on device (os error 28)"))
    OSError(28, 'No space left on device')
    """
    if isinstance(error, OSError):
        return error
    told = re.search(r"\(os error (\d+)\)", str(error))
    return OSError(int(told[1]), os.strerror(int(told[1]))) if told else None


def storage_error(error: OSError, path: Path) -> StoreError:
    """Put an operating system's refusal into one line that says what to do."""
    if error.errno == errno.ENOSPC:
        return StoreError(f"disk full while writing {path}: free some space and start again; finished stages are kept")
    return StoreError(f"can't write {path}: {error.strerror or error}; check the folder's permissions or set paths.log_dir")


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, atomically; NaN isn't JSON and must be None by now."""
    write_atomically(path, json.dumps(value, indent=1, allow_nan=False, default=str) + "\n")
