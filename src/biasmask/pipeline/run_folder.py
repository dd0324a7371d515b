"""The run folder: claimed by one run at a time, never overwritten by another, written file by file, atomically."""

import json
import math
import platform
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf

from biasmask import __version__
from biasmask.errors import StoreError
from biasmask.files import storage_error, write_atomically, write_json

PACKAGES = ("torch", "torchvision", "lightning", "timm", "torchmetrics", "hydra-core", "numpy", "pandas", "pillow")
FINISHED = "finished.json"


@contextmanager
def claimed(run_dir: Path, config: str) -> Iterator[Path]:
    """Hold a run folder while a run writes it.

    The same configuration may come back to its folder (an interrupted run goes on there); another may not, so that nothing
    that existed is lost.

    Args:
        run_dir: the folder; made if it doesn't exist.
        config: the resolved configuration as YAML.
    Raises:
        StoreError: another run is using the folder, it holds a run of another configuration, or it can't be written.
    """
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        lock = FileLock(run_dir / ".lock")
        lock.acquire(timeout=0)
    except Timeout as error:
        raise StoreError(
            f"run folder {run_dir} is in use by another run: wait for it, or name another as hydra.run.dir=..."
        ) from error
    except OSError as error:
        raise storage_error(error, run_dir) from error
    try:
        existing = run_dir / "config.yaml"
        if existing.is_file() and existing.read_text(encoding="utf-8") != config:
            raise StoreError(
                f"run folder {run_dir} holds a run of another configuration: name another as hydra.run.dir=... "
                "(in a sweep hydra.sweep.dir=...), its results are left as they are"
            )
        for half in run_dir.rglob(".*.part"):  # of a run that was killed while it wrote: the folder is ours
            half.unlink(missing_ok=True)
        if not existing.is_file():
            write_atomically(existing, config)
        yield run_dir
    finally:
        lock.release()


def config_text(config: DictConfig) -> str:
    """The resolved configuration as YAML, without what differs between two starts of the same run."""
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    return OmegaConf.to_yaml(OmegaConf.create(plain), sort_keys=False)


def write_provenance(run_dir: Path, overrides: list[str], script: str) -> None:
    """Write how the run was started and with which versions."""
    write_atomically(run_dir / "overrides.txt", "\n".join(overrides) + "\n")
    command = shlex.join(["python", script, *(o for o in overrides if not o.startswith("hydra.run.dir"))])
    write_atomically(run_dir / "command.txt", command + "\n")
    lines = [
        f"biasmask {__version__}",
        f"python {platform.python_version()}",
        f"platform {platform.system()} {platform.machine()}",
    ]
    for package in PACKAGES:
        try:
            lines.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            lines.append(f"{package} not installed")
    write_atomically(run_dir / "environment.txt", "\n".join(lines) + "\n")


def write_finished(run_dir: Path, objective: float) -> None:
    """Mark a run as finished; the last file that it writes."""
    write_json(run_dir / FINISHED, {"objective": objective if math.isfinite(objective) else None, "version": __version__})


def finished_objective(run_dir: Path) -> float | None:
    """What a finished run returned (NaN: undefined); None where it has not finished, or another version of biasmask made it."""
    path = run_dir / FINISHED
    if not path.is_file():
        return None
    content = read_json(path)
    if content["version"] != __version__:
        return None
    return math.nan if content["objective"] is None else float(content["objective"])


def read_json(path: Path) -> Any:
    """Read a JSON file of a run.

    Raises:
        StoreError: absent or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} can't be read ({error}): is it a finished run folder?") from error


def write_records(
    run_dir: Path, records: list[Any], history: list[dict[str, Any]], selections: dict[str, Any] | None = None
) -> None:
    """Write what each stage did, the training curves, and what each stage chose its epoch from (where any did)."""
    write_json(run_dir / "stages.json", [vars(record) for record in records])
    write_json(run_dir / "history.json", history)
    if selections:
        write_json(run_dir / "selection.json", selections)
