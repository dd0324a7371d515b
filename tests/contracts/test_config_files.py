"""Contracts that every file below configs/ keeps; a new file is a new test."""

from pathlib import Path
from typing import Any

import pytest
from hydra.utils import get_object
from omegaconf import OmegaConf

from tests.conftest import CONFIGS, compose_config

FILES = sorted(CONFIGS.rglob("*.yaml"))
TEXT = ("family=text", "backbone=text_encoder", "baseline=none", "metrics=text", "data=text_corpus", "debias=text/block_pruning")
# What a file needs beside its own choice before it composes.
NEEDED = {
    "family/text": TEXT[1:],
    "backbone/text_encoder": TEXT,
    "baseline/none": TEXT,
    "metrics/text": TEXT,
    "data/text_base": None,
    "data/text_corpus": TEXT,
    "data/text_packages": TEXT,
    "data/text_news_commentary": TEXT,
    "data/text_wikipedia": TEXT,
    "debias/stage/text": None,
    "debias/stage/text_losses": None,
    "data/csv": ("data.table=mine.csv", "attribute=sex"),
    "data/base": None,  # the common part of the others
    "debias/stage/locate": None,  # parts of the methods
    "debias/stage/impair": None,
    "debias/stage/repair": None,
    "debias/stage/image_pruning": None,
    "hydra/default": None,
    "paths/default": None,
}
OPTIONAL = {"wandb", "mlflow", "optuna"}
LAUNCHERS = {"slurm": "hydra_submitit_launcher", "ray_jobs": "hydra_ray_launcher"}


def choices() -> list[Any]:
    """One parameter per choosable file: its override, and what it needs besides."""
    found = []
    for path in FILES:
        name = path.relative_to(CONFIGS).with_suffix("").as_posix()
        group, _, choice = name.partition("/") if "launcher/" not in name else name.rpartition("/")
        needed = NEEDED.get(name, TEXT if choice.startswith("text/") else ())
        if choice and group != "prepare" and needed is not None:  # those are read by scripts/prepare_dataset.py alone
            found.append(pytest.param(f"{group}={choice}", needed, id=name))
    return found


def targets(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["_target_"]] if isinstance(node.get("_target_"), str) else []
        return own + [target for value in node.values() for target in targets(value)]
    return [target for value in node for target in targets(value)] if isinstance(node, list) else []


@pytest.mark.parametrize(("override", "needed"), choices())
def test_composes_resolves_and_targets_exist(override: str, needed: tuple[str, ...], tmp_path: Path) -> None:
    if override.partition("=")[2] == "optuna":
        pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="the extra `optuna` isn't installed")
    group, _, choice = override.partition("=")
    if group == "hydra/launcher":
        pytest.importorskip(f"hydra_plugins.{LAUNCHERS[choice]}", reason="an extra")
    config = compose_config("train", [override, *(o for o in needed if not o.startswith(f"{group}="))], tmp_path)
    plain = OmegaConf.to_container(config, resolve=True)
    for target in targets(plain):
        if not any(word in target.lower() for word in OPTIONAL):
            assert callable(get_object(target)), target


@pytest.mark.parametrize(
    "data", sorted(p.stem for p in CONFIGS.glob("data/*.yaml") if p.stem != "base" and not p.stem.startswith("text"))
)
def test_eval_composes_on_each_data_set(data: str, tmp_path: Path) -> None:
    config = compose_config("eval", ["ckpt_path=run", f"data={data}"], tmp_path)
    assert OmegaConf.to_container(config, resolve=True)["data"]["source"]["_target_"]  # type: ignore[index, call-overload]


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(CONFIGS).as_posix())
def test_files_are_short_and_begin_with_what_they_are(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 50, f"{path.name} has {len(lines)} lines: a config file is at most about 45"
    comments = [line for line in lines[:2] if line.startswith("#") and not line.startswith("# @package")]
    assert comments, f"{path.name} doesn't begin with a line that says what it is"


# Where a key is defined for the first time it is explained; a file that inherits repeats no explanation.
EXPLAINED = [
    *("train", "eval", "data/base", "data/rendered", "data/csv", "data/ham10000", "data/fitzpatrick17k", "metrics/default"),
    *("debias/bmft", "debias/stage/impair", "debias/stage/image_pruning", "backbone/efficientnet_lite0", "paths/default"),
    *("data/text_base", "debias/stage/text", "debias/text/block_pruning", "backbone/text_encoder", "metrics/text"),
]
PLAIN_KEYS = {"defaults", "_target_", "_convert_", "_partial_", "name", "label", "source", "column", "groups", "missing"}


@pytest.mark.parametrize("name", EXPLAINED)
def test_most_keys_of_a_defining_file_are_explained(name: str) -> None:
    """Soft: at least half of the scalar keys that aren't self-evident carry a comment on their line."""
    keys = explained = 0
    for line in (CONFIGS / f"{name}.yaml").read_text(encoding="utf-8").splitlines():
        key, colon, value = line.strip().partition(":")
        if not colon or line.lstrip().startswith(("#", "-")) or key in PLAIN_KEYS or value.strip().startswith("${data."):
            continue
        keys += 1
        explained += " #" in line
    assert explained * 2 >= keys, f"{explained} of {keys} keys are explained on their own line"


@pytest.mark.parametrize("own", [["experiment=bmft_rendered"], ["experiment=debias_text_demo", "data.per_kind=7"]])
def test_the_configurations_of_tests_are_those_of_hydra(own: list[str], tmp_path: Path) -> None:
    from hydra import compose, initialize_config_dir
    from hydra.core.hydra_config import HydraConfig

    overrides = [own[0], "trainer=cpu", "seed=3", *own[1:], "+trainer.max_steps=5", "name=mine"]
    ours = compose_config("train", overrides, tmp_path)
    task = HydraConfig.get().overrides.task
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        whole = compose("train", overrides, return_hydra_config=True)
    assert task == whole.hydra.overrides.task == overrides
    HydraConfig.instance().set_config(whole)
    assert OmegaConf.to_container(ours, resolve=False) == OmegaConf.to_container(compose_without_hydra(whole), resolve=False)


def compose_without_hydra(whole: Any) -> Any:
    return OmegaConf.masked_copy(whole, [key for key in whole if key != "hydra"])


def test_unknown_keys_fail(tmp_path: Path) -> None:
    from hydra.errors import ConfigCompositionException

    with pytest.raises(ConfigCompositionException, match="edit_fracton"):
        compose_config("train", ["experiment=bmft_rendered", "debias.edit_fracton=0.1"], tmp_path)


@pytest.mark.parametrize("experiment", sorted(p.stem for p in CONFIGS.glob("experiment/*.yaml")))
def test_experiments_override_and_never_redefine(experiment: str, tmp_path: Path) -> None:
    """Each key of an experiment exists without it."""
    file = OmegaConf.to_container(OmegaConf.load(CONFIGS / "experiment" / f"{experiment}.yaml"))
    file.pop("hydra", None)  # type: ignore[union-attr, call-arg, arg-type]  # the grid of a sweep
    defaults = [d for d in file.pop("defaults", []) if d != "_self_"]  # type: ignore[union-attr, call-arg, arg-type]
    parents = [f"experiment={d}" for d in defaults if isinstance(d, str)]
    groups = {k.removeprefix("override /"): v for d in defaults if isinstance(d, dict) for k, v in d.items()}
    config = compose_config("train", [*parents, *(f"{group}={choice}" for group, choice in groups.items())], tmp_path)

    def walk(node: Any, known: Any, where: str) -> None:
        for key, value in node.items():
            assert key in known, f"{experiment} defines {where}{key}"
            if isinstance(value, dict):
                walk(value, known[key], f"{where}{key}.")

    walk(file, OmegaConf.to_container(config, resolve=False), "")


def test_every_debias_stage_listed_has_a_node(tmp_path: Path) -> None:
    for path in [*CONFIGS.glob("debias/*.yaml"), *CONFIGS.glob("debias/text/*.yaml")]:
        name = path.relative_to(CONFIGS / "debias").with_suffix("").as_posix()
        needed = TEXT[:-1] if name.startswith("text/") else ()
        debias = compose_config("train", [f"debias={name}", *needed], tmp_path).debias
        assert set(debias.stages) <= set(debias), path.name


def test_the_sweeps_of_the_text_family_stay_keys(tmp_path: Path) -> None:
    keys = ["model.embedding_layer=intermediate", "model.debias_mode=token", "prune_block_size=32", "model.model_name=bert"]
    config = compose_config("train", ["experiment=debias_block_pruning_frozen", *keys], tmp_path)
    prune = config.debias.prune
    assert (prune.losses.embedding_layer, prune.losses.debias_mode) == ("intermediate", "token")
    assert prune.structure.block_size == 32


def test_what_people_type_stays_a_key(tmp_path: Path) -> None:
    """The command lines of README and docs: each of these keys must go on existing."""
    keys = ["trainer.max_epochs=20", "data.batch_size=64", "attribute=skin_tone", "seed=3", "threads=2", "progress=false"]
    more = ["debias.edit_fraction=0.25", "debias.impair.epochs=3", "debias.locate.granularity=channel", "model.ckpt_path=x.pt"]
    config = compose_config("train", ["experiment=bmft_fitzpatrick", "trainer=gpu", *keys, *more], tmp_path)
    assert (config.trainer.max_epochs, config.debias.locate.edit_fraction) == (20, 0.25)
    assert config.baseline.batch_size == 64


def test_overfit_sees_the_same_pixels_in_each_epoch(tmp_path: Path) -> None:
    augment = compose_config("train", ["debug=overfit"], tmp_path).baseline.augment
    assert not any(augment.values())


def test_arguments_of_the_network_can_be_typed(tmp_path: Path) -> None:
    assert compose_config("train", ["+model.args.drop_rate=0.1"], tmp_path).model.args.drop_rate == 0.1
