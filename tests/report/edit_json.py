"""Changes a JSON file of a copied run folder in place."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def edited(file: Path) -> Iterator[Any]:
    content = json.loads(file.read_text(encoding="utf-8"))
    yield content
    file.write_text(json.dumps(content), encoding="utf-8")


def keep_one_model(run_dir: Path) -> None:
    """Turn a run folder into an evaluation of the base model: no difference, mask, history, stages or checker."""
    with edited(run_dir / "metrics.json") as metrics:
        del metrics["models"]["debiased"], metrics["difference"]
    for name in ("run", "mask", "history", "stages", "checker"):
        (run_dir / f"{name}.json").unlink()
    for name in ("config.yaml", "overrides.txt", "command.txt", "environment.txt"):
        (run_dir / name).unlink()
