"""What bad input gets: a clear error in one line, or a named and counted exclusion."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from tests.conftest import Runner, UserTable


@pytest.fixture
def fails(runner: Runner, user_table: UserTable, trained_net: Callable[..., Path]) -> Callable[..., str]:
    """Runs BMFT on a changed user table and gives the one line of its error."""
    checkpoint = trained_net()

    def run(*overrides: str, frame: pd.DataFrame | None = None, **change: Any) -> str:
        user_table.save(user_table.frame.assign(**change) if frame is None else frame)
        ckpt = [] if any("ckpt_path" in o for o in overrides) else [f"model.ckpt_path={checkpoint}"]
        return runner.error(lambda: runner.train(*user_table.overrides, *ckpt, *overrides))

    return run


def has(text: str, *words: str) -> None:
    missing = [word for word in words if word not in text]
    assert not missing, f"{missing} not in: {text}"


def test_missing_column(fails: Callable[..., str], user_table: UserTable) -> None:
    has(fails(frame=user_table.frame.drop(columns="target")), "mine.csv", "target", "column")
    has(fails("data.image=picture"), "mine.csv", "picture", "image")
    has(fails("attribute=gender"), "no attribute 'gender'", "columns:", "sex")


def test_unknown_attribute_value(fails: Callable[..., str], user_table: UserTable) -> None:
    sex = user_table.frame["sex"].where(user_table.frame.index != 7, "divers")
    groups = "data.attributes={sex: {column: sex, groups: {f: [female], m: [male]}}}"
    has(fails(groups, sex=sex), "row 7", "'sex' holds 'divers'", "in no group", "unknown: exclude")


def test_no_attribute_named(fails: Callable[..., str]) -> None:
    has(fails("attribute=null"), "no sensitive attribute", "attribute=<name>")


def test_numeric_attribute_proposes_bins(fails: Callable[..., str]) -> None:
    has(fails("attribute=age", age=np.arange(80) + 20), "age", "bins: [")


def test_empty_table(fails: Callable[..., str], user_table: UserTable) -> None:
    has(fails(frame=user_table.frame.iloc[:0]), "mine.csv")
    user_table.path.write_text("")
    has(fails(frame=pd.DataFrame()), "mine.csv")


def test_table_of_one_class(fails: Callable[..., str]) -> None:
    has(fails(target=1), "two classes are needed", "mine.csv")


def test_one_class_in_a_split(fails: Callable[..., str], user_table: UserTable) -> None:
    frame = user_table.frame
    has(fails(target=frame["target"].where(frame["split"] != "val", 0)), "val")


def test_path_outside_the_data_root(fails: Callable[..., str], user_table: UserTable, tmp_path: Path) -> None:
    for given in ("../secret.png", "/etc/passwd"):
        image = user_table.frame["image"].where(user_table.frame.index != 3, given)
        has(fails(image=image), "line 5", "outside of the data root", given)
    Image.new("RGB", (40, 40)).save(tmp_path / "secret.png")
    (user_table.path.parent / "images" / "003.png").unlink()
    (user_table.path.parent / "images" / "003.png").symlink_to(tmp_path / "secret.png")
    has(fails(), "link out of the data root")


def test_table_that_is_not_there(fails: Callable[..., str], tmp_path: Path) -> None:
    has(fails(f"data.table={tmp_path / 'none.csv'}"), "there is no table file", "none.csv")
    has(fails("data.table=null"), "data.table=mine.csv")


def test_odd_images_are_converted_or_left_out_by_name(
    runner: Runner, user_table: UserTable, trained_net: Callable[..., Path]
) -> None:
    images = user_table.path.parent / "images"
    pixels = np.random.default_rng(0).integers(0, 255, (36, 40, 4), dtype=np.uint8)
    frame = user_table.frame.copy()
    whole = (images / "000.png").read_bytes()
    (images / "000.png").write_bytes(whole[: len(whole) // 2])
    Image.fromarray(pixels, "CMYK" if hasattr(Image, "core") else None).save(images / "001.jpg")
    Image.fromarray(pixels[..., 0].astype(np.uint16) * 257).save(images / "002.png")
    frames = [Image.fromarray(pixels[..., i]) for i in range(3)]
    frames[0].save(images / "003.gif", save_all=True, append_images=frames[1:])
    (images / "004.png").write_text("this is no image\n")
    (images / "005.png").write_bytes(b"")
    (images / "006.png").unlink()
    frame.loc[1, "image"], frame.loc[3, "image"] = "images/001.jpg", "images/003.gif"
    user_table.save(frame)
    run = runner.train(*user_table.overrides, f"model.ckpt_path={trained_net()}", "data.show_rows=true")
    checker = run.read("checker.json")
    assert checker["missing_images"] == {"count": 1, "examples": ["images/006.png"]}
    unreadable = checker["unreadable"]
    assert unreadable["count"] == 3
    named = " ".join(unreadable["examples"])
    for name, reason in (("000", "truncated"), ("004", "not an image"), ("005", "empty file")):
        assert f"images/{name}.png" in named and reason in named
    assert any("can't be read" in warning for warning in checker["warnings"])
    assert run.read("run.json")["final"] == "debiased"


def test_a_group_with_no_positive(runner: Runner, user_table: UserTable, trained_net: Callable[..., Path]) -> None:
    """The run goes on; what is undefined is null with its reason, never 0."""
    frame = user_table.frame
    user_table.save(frame[(frame["sex"] == "male") | (frame["target"] == 0)])
    run = runner.train(*user_table.overrides, f"model.ckpt_path={trained_net()}")
    for model in run.read("metrics.json")["models"].values():
        for key in ("test/tpr/sex=female", "test/auroc/sex=female", "test/equal_opportunity/sex"):
            assert model[key]["value"] is None and "female" in model[key]["reason"], (key, model[key])
        assert model["test/fpr/sex=female"]["value"] is not None
    assert any("female" in warning for warning in run.read("checker.json")["warnings"])


def test_one_group_alone_in_the_debias_split(fails: Callable[..., str], user_table: UserTable) -> None:
    frame = user_table.frame
    has(fails(sex=frame["sex"].where(frame["split"] != "debias", "male")), "debias", "sex", "male")


def test_equal_opportunity_without_positives_in_a_group(fails: Callable[..., str], user_table: UserTable) -> None:
    frame = user_table.frame
    kept = frame[(frame["sex"] == "male") | (frame["target"] == 0)]
    has(fails("debias.bias_loss.criterion=equal_opportunity", frame=kept), "defined bias loss", "sex", "checker.json")


def test_checkpoint_of_another_architecture(fails: Callable[..., str], trained_net: Callable[..., Path]) -> None:
    vit = trained_net("test_vit", name="vit.pt", img_size=32)
    has(fails(f"model.ckpt_path={vit}"), "vit.pt", "doesn't fit backbone test_resnet", "model.backbone=")
    more = trained_net("test_resnet", 7, name="seven.pt")
    has(fails(f"model.ckpt_path={more}"), "7 outputs")


def test_checkpoint_with_nan_weights(fails: Callable[..., str], trained_net: Callable[..., Path]) -> None:
    def spoil(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        state["conv1.0.weight" if "conv1.0.weight" in state else next(iter(state))].view(-1)[0] = float("nan")
        return state

    has(fails(f"model.ckpt_path={trained_net(wrap=spoil, name='nan.pt')}"), "nan.pt", "NaN or infinite")


class Trap:
    """What a malicious pickle holds: it writes a file when it is loaded."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("form", ["torch", "pickle"])
@pytest.mark.parametrize("entry", ["train", "eval"])
def test_pickle_with_code_in_it(form: str, entry: str, runner: Runner, fails: Callable[..., str], tmp_path: Path) -> None:
    path, sprung = tmp_path / "evil.pt", tmp_path / "sprung"
    content = {"fc.weight": torch.zeros(1), "trap": Trap(sprung)}
    if form == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    text = fails(f"model.ckpt_path={path}") if entry == "train" else runner.error(lambda: runner.evaluate(path))
    has(text, "evil.pt", "isn't plain tensors", "model.state_dict()")
    assert not sprung.exists(), "code of the checkpoint ran"


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 cut"], ids=["empty", "text", "cut"])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_damaged_checkpoint(content: bytes, suffix: str, fails: Callable[..., str], tmp_path: Path) -> None:
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(content)
    has(fails(f"model.ckpt_path={path}"), path.name)


def test_checkpoint_without_weights(fails: Callable[..., str], tmp_path: Path) -> None:
    for name, content in (
        ("list.pt", [1, 2]),
        ("empty.pt", {}),
        ("hyper.pt", {"hyper_parameters": {"backbone": "test_resnet", "mean": 0}}),
    ):
        torch.save(content, tmp_path / name)
        has(fails(f"model.ckpt_path={tmp_path / name}"), name)


def test_nan_loss_of_the_baseline(runner: Runner, tmp_path: Path) -> None:
    text = runner.error(lambda: runner.rendered("baseline.optimizer.lr=1e20", "trainer.max_epochs=3", store=tmp_path / "store"))
    has(text, "the loss is", "baseline.optimizer.lr")
    assert not [p for p in (tmp_path / "store").rglob("model.ckpt")], "a broken model was kept"


def test_nan_loss_of_impair(runner: Runner) -> None:
    huge = (
        "debias.impair.optimizer.lr=1e20",
        "debias.impair.guard=null",
        "debias.impair.epochs=3",
        "debias.impair.batch_size=32",
    )
    has(runner.error(lambda: runner.rendered(*huge)), "the loss is", "debias.impair.optimizer.lr")


@pytest.mark.parametrize("stage", ["baseline", "impair"])
def test_weights_that_break_in_the_last_step(stage: str, runner: Runner, tmp_path: Path) -> None:
    """One batch, one step: no later loss tells of it, and no such model may be kept."""
    one = {
        "baseline": ("debias=none", "baseline.optimizer.lr=1e38", "trainer.gradient_clip_val=null", "data.batch_size=64"),
        "impair": (
            "debias=impair_only",
            "debias.impair.optimizer.lr=1e38",
            "debias.impair.guard=null",
            "debias.impair.batch_size=96",
        ),
    }[stage]
    common = ("experiment=bmft_rendered", "data.source.n={train: 64, debias: 96, val: 64, test: 64}", "data.batch_size=32")
    epochs = () if stage == "baseline" else ("debias.impair.epochs=1",)
    text = runner.error(lambda: runner.train(*common, *one, *epochs, store=tmp_path / "store"))
    has(text, "lr")
    kind = "baseline" if stage == "baseline" else "finetune"
    assert not list((tmp_path / "store" / kind).glob("[!.]*/model.ckpt")), "a broken model was kept"


def test_unknown_keys_and_stages(runner: Runner) -> None:
    has(runner.error(lambda: runner.rendered("debias.stages=[locate,impiar]")), "debias.stages names `impiar`")
    has(runner.error(lambda: runner.rendered("+debias.impair.speed=3")), "speed")
    has(runner.error(lambda: runner.rendered("debias.locate.source=magic")), "source=magic", "ratio")
    has(runner.error(lambda: runner.rendered("debias.edit_fraction=1.5")), "edit_fraction=1.5", "at most 1")
    has(runner.error(lambda: runner.rendered("debias.edit_fraction=0")), "edit_fraction=0")
    has(runner.error(lambda: runner.rendered("debias.impair.part=heads")), "part=heads")
    has(runner.error(lambda: runner.rendered("debias.stages=[impair]")), "put `locate` before it")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("debias.locate.importance=cubed", ("cubed",)),
        ("debias.locate.granularity=tensor", ("tensor",)),
        ("debias.locate.batches=random", ("batches=random",)),
        ("debias.bias_loss.criterion=equality", ("equality",)),
        ("debias.impair.class_balance=some", ("some",)),
        ("debias.impair.guard.keep=worst", ("keep", "worst")),
        ("debias.split_typo=1", ("split_typo",)),
        ("metrics.threshold_rule=best", ("best",)),
        ("metrics.confidence=2", ("confidence",)),
        ("data.batch_size=0", ("batch_size",)),
        ("trainer.precision=8", ("precision",)),
        ("trainer.accelerator=tpu", ("tpu",)),
        ("data.source.correlation=3", ("correlation",)),
        ("debias.impair.optimizer._target_=torch.optim.SDG", ("SDG",)),
        ("debias.impair.augment={rotate: 1}", ("rotate",)),
        ("model.num_outputs=3", ("3",)),
        ("debias.edit_fraction=1e-9", ("edit_fraction", "none")),
    ],
)
def test_a_value_that_cannot_work_is_named(override: str, words: tuple[str, ...], runner: Runner) -> None:
    from hydra.errors import ConfigCompositionException

    try:
        text = runner.error(lambda: runner.rendered(override, "metrics.n_bootstrap=5"))
    except ConfigCompositionException as error:
        text = str(error)
    has(text, *words)


def test_unknown_backbone(runner: Runner) -> None:
    has(runner.error(lambda: runner.rendered("model.backbone=resnet1818")), "resnet1818", "near names", "resnet18")
