"""Contracts that every data set of configs/prepare keeps; a new file is a new test."""

import importlib
import inspect
import re
from pathlib import Path

import pytest
from hydra.utils import get_method
from omegaconf import DictConfig, OmegaConf

from biasmask.data.config_table import data_config
from tests.conftest import CONFIGS, REPOSITORY

FILES = sorted((CONFIGS / "prepare").glob("*.yaml"))
KEYS = {"name", "family", "title", "homepage", "terms", "cite", "steps", "reader", "downloads", "limits"}
OPTIONAL = {"skin_type", "links"}
EACH = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def about(path: Path) -> DictConfig:
    made = OmegaConf.load(path)
    assert isinstance(made, DictConfig)
    return made


@EACH
def test_all_keys_are_there_and_filled(path: Path) -> None:
    made = about(path)
    assert set(made) - OPTIONAL == KEYS and made.name == path.stem and made.family in ("image", "text")
    for key in KEYS - {"downloads"}:
        assert made[key], f"{path.name}: {key} is empty"
    assert re.match(r"https?://", made.homepage) and len(made.limits) >= 1 and len(made.steps) >= 1
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# ") and 30 <= len(first) <= 150, "--list shows the first line"


@EACH
def test_its_reader_takes_a_folder_and_the_options_of_the_file(path: Path) -> None:
    reader = about(path).reader
    function = get_method(reader["_target_"])
    given = {str(key): reader[key] for key in reader if not str(key).startswith("_")}
    parameters = inspect.signature(function).parameters
    assert list(parameters)[:2] == ["source", "homepage"]
    assert set(given) <= set(parameters), "an option of the file that the reader lacks"
    own = {name: p.default for name, p in list(parameters.items())[2:] if p.default is not inspect.Parameter.empty}
    told = {name: value for name, value in given.items() if name in own}
    assert {name: own[name] for name in told} == told, "a default that the file and the reader tell differently"


@pytest.mark.parametrize("path", [path for path in FILES if about(path).family == "image"], ids=lambda path: path.stem)
def test_a_set_of_pictures_has_a_data_configuration_with_attributes(path: Path) -> None:
    file = CONFIGS / "data" / path.name
    assert file.is_file(), f"there is no configs/data/{path.name}"
    config = data_config(file)
    assert config.name == path.stem and config.licence, "the model card tells the terms"
    assert config.attribute in config.attributes and set(config.report_attributes) <= set(config.attributes)
    assert config.get("homepage") == about(path).homepage or config.source.homepage == about(path).homepage


@EACH
def test_it_has_a_fake_copy_and_a_line_in_the_docs(path: Path) -> None:
    reader = str(about(path).reader["_target_"]).split(".")[-2]  # several sets may share a reader and its fake
    fake = importlib.import_module(f"tests.data.fake_releases.{reader}")
    assert callable(fake.write) and (fake.__doc__ or "").strip()
    page = "data_sets.md" if about(path).family == "image" else "text_data.md"
    text = (REPOSITORY / "docs" / page).read_text(encoding="utf-8")
    assert re.search(rf"^\|[^|]*`{path.stem}`[^|]*\|", text, re.MULTILINE), f"docs/{page} has no row for {path.stem}"
