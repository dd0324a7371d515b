"""The same seed gives the same bytes: each method runs twice on one machine, its debias stages anew each time."""

from pathlib import Path

import pytest

from tests.conftest import CONFIGS, RENDERED, FinishedRun, Runner, compose_config

# They hold the seconds that a stage took, or where a run lies.
OTHERWISE = {"run.json", "stages.json", "report.html", "model_card.md", "model_card.json"}
OTHERWISE |= {"config.yaml", "command.txt", "overrides.txt", ".lock"}
IMAGE = sorted(path.stem for path in CONFIGS.glob("debias/*.yaml") if path.stem != "none")
TEXT = sorted(f"text/{path.stem}" for path in CONFIGS.glob("debias/text/*.yaml"))
LEARNING = {"text/block_pruning": ("debias.prune.optimizer.lr=1.0",)}  # else nothing is pruned so soon
FAST = ("bmft", "text/block_pruning")  # the others are slow tests


def differing(first: FinishedRun, second: FinishedRun) -> list[str]:
    """Files that only one of the runs has, or whose bytes differ."""
    names = [
        {str(path.relative_to(run.folder)) for path in run.folder.rglob("*") if path.is_file() and path.name not in OTHERWISE}
        for run in (first, second)
    ]
    same = [name for name in names[0] & names[1] if (first.folder / name).read_bytes() == (second.folder / name).read_bytes()]
    return sorted((names[0] | names[1]) - set(same))


def short(method: str, home: Path) -> list[str]:
    debias = compose_config("train", [f"debias={method}"], home).debias
    return [f"debias.{stage}.epochs=1" for stage in debias.stages if "epochs" in debias[stage]]


@pytest.mark.parametrize(
    "method", [pytest.param(method, marks=() if method in FAST else pytest.mark.slow) for method in (*IMAGE, *TEXT)]
)
def test_the_same_seed_gives_the_same_bytes(method: str, tmp_path: Path) -> None:
    keys = (f"debias={method}", "name=again", *(() if method in TEXT else short(method, tmp_path)), *LEARNING.get(method, ()))
    vit = ["model.backbone=test_vit"] if method.endswith("_vit") else []

    def run(number: int) -> FinishedRun:
        runner = Runner(tmp_path / f"runs{number}", tmp_path / f"shared{number}")  # stores and caches of its own
        if method in TEXT:
            return runner.text(tmp_path / "parts", *keys)
        return runner.train("experiment=bmft_rendered", *RENDERED, *keys, *vit)

    first, second = run(1), run(2)
    assert differing(first, second) == []
    assert not any(record["reused"] for record in second.read("stages.json"))
    assert (first.folder / "metrics.json").is_file()
