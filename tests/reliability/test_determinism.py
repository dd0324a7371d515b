"""The same seed gives the same bytes: a method with each kind of stage runs twice on one machine, all stages anew each time."""

from pathlib import Path

import pytest

from tests.conftest import RENDERED, FinishedRun, Runner, compose_config

# They hold the seconds that a stage took, or where a run lies.
OTHERWISE = {"run.json", "stages.json", "report.html", "model_card.md", "model_card.json"}
OTHERWISE |= {"config.yaml", "command.txt", "overrides.txt", ".lock"}
LEARNING = {"text/block_pruning": ("debias.prune.optimizer.lr=1.0",)}  # else nothing is pruned so soon
METHODS = ("bmft", "swift", "adapt_norm", "dfr", "fairprune", "freeze_early", "gradient_reversal", "group_dro", "thresholds")
METHODS += ("random_blocks_vit", "text/block_pruning", "text/random_blocks", "text/random_projection", "text/sentence_debias")
METHODS += ("text/debias_only",)
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
    "method", [pytest.param(method, marks=() if method in FAST else pytest.mark.slow) for method in METHODS]
)
def test_the_same_seed_gives_the_same_bytes(method: str, tmp_path: Path) -> None:
    text = method.startswith("text/")
    keys = (f"debias={method}", "name=again", *(() if text else short(method, tmp_path)), *LEARNING.get(method, ()))
    vit = ["model.backbone=test_vit"] if method.endswith("_vit") else []

    def run(number: int) -> FinishedRun:
        runner = Runner(tmp_path / f"runs{number}", tmp_path / f"shared{number}")  # stores and caches of its own
        if text:
            return runner.text(tmp_path / "parts", *keys)
        return runner.train("experiment=bmft_rendered", *RENDERED, *keys, *vit)

    first, second = run(1), run(2)
    assert differing(first, second) == []
    assert not any(record["reused"] for record in second.read("stages.json"))
    assert (first.folder / "metrics.json").is_file()
