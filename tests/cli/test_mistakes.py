"""Mistyped overrides: one line, with the nearest right one."""

import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import ConfigCompositionException, HydraException

from biasmask.cli.mistakes import mistake, require_read, unusable_word
from biasmask.errors import ConfigError
from tests.conftest import CONFIGS, compose_config


def refused(tmp_path: Path, *overrides: str, entry: str = "train") -> str:
    with initialize_config_dir(str(CONFIGS), version_base="1.3"), pytest.raises(HydraException) as caught:
        compose(entry, [*overrides, f"paths.log_dir={tmp_path}"])  # Hydra's own, which looks at more than that of the tests
    told = mistake(caught.value)
    assert told is not None and "\n" not in told
    return told


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["experiment=bmft", "debias.edit_fracton=0.1"], "did you mean debias.edit_fraction?"),
        (["debias.edit_fracton=0.1"], "did you mean debias.edit_fraction, a key of debias="),
        (["debias.impair.epochs=2"], "debias.impair: there is no such key; it is one of debias="),
        (["edit_fraction=0.1"], "did you mean debias.edit_fraction, a key of debias="),
        (["max_epochs=3"], "did you mean trainer.max_epochs?"),
        (["trainer.max_epoch=3"], "did you mean trainer.max_epochs?"),
        (["trainer.qqqqqq=3"], "trainer has accelerator, devices"),
        (["debais=bmft"], "did you mean debias"),
        (["experiment=bmft_hamm"], "did you mean experiment=bmft_ham10000 or experiment=bmft?"),
        (["experiment=nonsense"], "there are bmft, bmft_fitzpatrick"),
        (["debias=text/inpl"], "did you mean debias=text/inlp"),
        (["trainer"], "write key=value or group=choice; did you mean trainer=...?"),
        (["attribute=[sex"], "quote a value with brackets"),
        (["+seed=3"], "+seed: this key exists: leave out the +"),
        (["attribute=sex,age"], "a sweep, which needs -m"),
        (["~debias.xx"], "debias.xx"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line_with_the_nearest_right_word(overrides: list[str], told: str, tmp_path: Path) -> None:
    assert told in refused(tmp_path, *overrides)


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("=1", "=1: there is no key before the ="),
        ("+=pareto", "+=pareto: there is no key before the ="),
        ("debias=3", "debias=3: there is no such choice; there are adapt_norm"),
        ("backbone=null", "backbone=null: there is no such choice"),
    ],
)
def test_a_word_that_hydra_stumbles_over_is_named(word: str, told: str) -> None:
    """Its own words for these are an assertion and `must be a string or a list. Got int`."""
    with initialize_config_dir(str(CONFIGS), version_base="1.3"), pytest.raises((AssertionError, ValueError)):
        compose("train", ["seed=1", word])
    assert str(unusable_word(["seed=1", word])).startswith(told)


def test_words_that_are_right_are_not_blamed_for_a_fault_elsewhere() -> None:
    sweep = ["-m", "debias=bmft,last_layer", "backbone=glob(test*)", "trainer=choice(cpu,gpu)", "seed=range(1,3)", "--cfg=job"]
    assert unusable_word(["seed=1", "debias=bmft", "attribute=[sex,age]", "~logger", *sweep]) is None


def test_eval_knows_its_own_keys(tmp_path: Path) -> None:
    assert "did you mean ckpt_path" in refused(tmp_path, "ckp_path=x", entry="eval")


def test_a_mistake_seen_by_a_debugger_is_one_line_too(tmp_path: Path) -> None:
    """OmegaConf keeps the causes of its errors where a trace function is set, and some are then their own cause."""
    from biasmask.pipeline.entry import plain_error

    before = sys.gettrace()
    sys.settrace(before or (lambda *_: None))
    try:
        with pytest.raises(ConfigCompositionException) as caught:
            compose_config("train", ["experiment=bmft_rendered", "debias.impair.augment={rotate: 1}"], tmp_path)
    finally:
        sys.settrace(before)
    assert "rotate" in str(plain_error(caught.value) or mistake(caught.value))
    error = ValueError("its own cause")
    error.__cause__ = error
    assert plain_error(error) is None


def test_an_error_of_another_kind_is_left_alone() -> None:
    assert mistake(KeyError("x")) is None


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("+x=1", "+x: nothing reads such a key; the top level has name"),
        ("+sed=2", "did you mean seed?"),
        ("+debias.edit_fracton=0.1", "did you mean debias.edit_fraction?"),
        ("+metrics.n_bootstraps=5", "did you mean metrics.n_bootstrap?"),
    ],
)
def test_an_added_key_that_nothing_reads_is_refused(override: str, told: str, tmp_path: Path) -> None:
    config = compose_config("train", ["experiment=bmft_rendered", override], tmp_path)
    with pytest.raises(ConfigError) as caught:
        require_read(config, [override])
    assert told in str(caught.value) and f"+{override.partition('=')[0]}=" in str(caught.value)


@pytest.mark.parametrize(
    "override",
    [
        "+model.args.drop_rate=0.1",
        "+data.source.on_missing=error",
        "+trainer.benchmark=true",
        "+data.attributes.shade={column: shade, bins: [0.5]}",
        "+callbacks.mine={_target_: lightning.pytorch.callbacks.Timer}",
        "+debias.again={_target_: biasmask.pipeline.locate.Locate}",
        "++anything=1",
        "seed=2",
    ],
)
def test_an_added_key_that_is_read_is_allowed(override: str, tmp_path: Path) -> None:
    config = compose_config("train", ["experiment=bmft_rendered", override], tmp_path)
    require_read(config, [override])
    key = override.lstrip("+").partition("=")[0]
    node = config
    for part in key.split("."):
        assert part in node, f"{key} isn't in the configuration"
        node = node[part]
