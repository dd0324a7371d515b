"""The rivals with a loss of their own: more classes, several attributes, missing groups, refused settings."""

from pathlib import Path

import pytest
import torch

from tests.conftest import Runner, UserTable, make_class_table

RIVALS = ("group_dro", "gradient_reversal")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> UserTable:
    return make_class_table(tmp_path_factory.mktemp("classes"))


def words(table: UserTable, method: str, attribute: str) -> list[str]:
    own = [part for part in table.overrides if not part.startswith(("debias.", "attribute="))]
    return [*own, f"attribute={attribute}", f"debias={method}", "debias.finetune.epochs=2"]


@pytest.mark.parametrize("attribute", ["site", "[site,sex]"])
@pytest.mark.parametrize("method", RIVALS)
def test_three_classes_and_several_attributes(method: str, attribute: str, table: UserTable, runner: Runner) -> None:
    run = runner.train(*words(table, method, attribute))
    record = run.stage("finetune")
    assert record["edited"] > 0.5 * record["parameters"] and record["changed_outside"] == 0
    cells = {"site": 9, "[site,sex]": 18}[attribute]
    if method == "group_dro":
        assert record["notes"][-1].endswith(f"of {cells} cells")
    else:
        rows = [row for row in run.read("history.json") if (row["stage"], row["metric"]) == ("finetune", "attribute_loss")]
        assert [row["epoch"] for row in rows] == [0, 1] and rows[0]["value"] > 0


@pytest.mark.parametrize("method", RIVALS)
def test_rows_without_a_group(method: str, table: UserTable, runner: Runner) -> None:
    """Half of the debias rows have no site: they are left out of what needs one, and a batch of them alone is no error."""
    frame = table.frame.copy()
    debias = frame.index[frame["split"] == "debias"]
    frame.loc[debias[: len(debias) // 2], "site"] = ""
    path = table.path.with_name("missing.csv")
    frame.to_csv(path, index=False)
    batches = ["debias.finetune.batches=sequential", "debias.finetune.batch_size=6"]
    run = runner.train(*words(table, method, "site"), f"data.table={path}", *batches)
    assert run.stage("finetune")["edited"] > 0
    state = torch.load(run.folder / "debiased_timm.pt", weights_only=True)
    assert all(torch.isfinite(tensor.float()).all() for tensor in state.values())


def test_the_adversary_is_thrown_away(table: UserTable, runner: Runner) -> None:
    run = runner.train(*words(table, "gradient_reversal", "site"))
    names = [torch.load(p, weights_only=True)["state_dict"].keys() for p in sorted((run.folder / "checkpoints").glob("*.ckpt"))]
    assert len(names) == 2 and names[0] == names[1]


def test_with_both_weights_0_the_adversary_changes_nothing_in_the_net(table: UserTable, runner: Runner, tmp_path: Path) -> None:
    """It learns beside the net, so the net is that of full_ft on the same batches (no clipping, whose norm counts both)."""
    same = ("debias.finetune.batches=group_target", "debias.finetune.gradient_clip_val=null")
    off = ("debias.finetune.reversal_weight=0", "debias.finetune.entropy_weight=0")
    nets = []
    for method, more in (("full_ft", same), ("gradient_reversal", (*same, *off))):
        run = runner.train(*words(table, method, "site"), *more, store=tmp_path / "store")
        nets.append(torch.load(run.folder / "debiased_timm.pt", weights_only=True))
    for name, tensor in nets[0].items():
        torch.testing.assert_close(nets[1][name], tensor, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("method", "override", "said"),
    [
        ("group_dro", "debias.finetune.eta=-1", "eta=-1"),
        ("group_dro", "debias.finetune.task_weight=0", "replaces the task loss"),
        ("gradient_reversal", "debias.finetune.part=head", "part=head"),
        ("gradient_reversal", "debias.finetune.warmup=2", "warmup=2"),
        ("gradient_reversal", "debias.finetune.entropy_weight=-1", "entropy_weight=-1"),
        ("gradient_reversal", "debias.finetune.hidden=-3", "hidden=-3"),
    ],
)
def test_settings_that_can_not_be_are_named(method: str, override: str, said: str, table: UserTable, runner: Runner) -> None:
    text = runner.error(lambda: runner.train(*words(table, method, "site"), override))
    assert said in text
