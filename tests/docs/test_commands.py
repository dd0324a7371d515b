"""Every command in README.md and docs/*.md: its configuration composes, its flags exist, its code compiles and imports."""

import argparse
import ast
import copy
import importlib
import importlib.util
import inspect
import json
import re
import runpy
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import CONFIGS, REPOSITORY
from tests.docs.fences import PAGES, Command, Fence, commands, fences, written_files

TRACKED = ("src", "scripts", "configs", "tests", "benchmarks", "docs", "notebooks")  # words that begin so are files of ours
KNOWN_SETS = ("ham10000", "ham10000_diagnoses", "fitzpatrick17k")  # their attributes are all in their file
SAME_KEYS = ("trainer=cpu", "logger=none")  # often typed, and without influence on which keys there are
PLUGINS = {  # choices that an extra brings: without it, the rest of their commands is checked
    "hydra/launcher=joblib": "hydra_joblib_launcher",
    "hydra/launcher=slurm": "hydra_submitit_launcher",
    "hydra/launcher=submitit_local": "hydra_submitit_launcher",
    "hparams_search=optuna": "hydra_optuna_sweeper",
}
OF_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)


class ParsedError(Exception):
    """The flags of a script were accepted; nothing of it runs."""


@pytest.fixture(scope="module")
def compose_typed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, list[str]], Any]:
    """Compose an entry point's configuration in a copy of configs/ that holds the files of all pages too.

    Only the choices of groups are composed, once for all commands that make the same; the other words are then put on top
    of a copy, by Hydra's own code. That halves the time.
    """
    from hydra import compose, initialize_config_dir
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra.core.hydra_config import HydraConfig
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf, open_dict

    folder = tmp_path_factory.mktemp("typed")
    shutil.copytree(CONFIGS, folder / "configs")
    for page in PAGES:
        for name, text in written_files(page).items():
            if name.startswith("configs/"):
                (folder / name).write_text(text, encoding="utf-8")
    parser, bases = OverridesParser.create(), {}

    def typed(entry: str, words: list[str]) -> Any:
        words = [word for word in words if word not in SAME_KEYS]
        choices = tuple(word for word in words if is_choice(word))
        if (entry, choices) not in bases:
            with initialize_config_dir(str(folder / "configs"), version_base="1.3"):
                bases[entry, choices] = compose(entry, list(choices), return_hydra_config=True)
        config = copy.deepcopy(bases[entry, choices])
        rest = parser.parse_overrides([word for word in words if word not in choices])
        ConfigLoaderImpl._apply_overrides_to_config(rest, config)
        with open_dict(config):
            config.hydra.runtime.output_dir, config.hydra.job.num = "run", 0
        HydraConfig.instance().set_config(config)
        with open_dict(config):
            del config["hydra"]
        return OmegaConf.to_container(config, resolve=True, throw_on_missing=True)

    return typed


def is_choice(word: str) -> bool:
    return word.startswith("hydra/") or (CONFIGS / word.partition("=")[0]).is_dir()


def first_values(words: list[str], sweep: bool) -> list[str]:
    """The first job of a sweep; each choice of a group must be a file or be written by a page."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    made = {name for page in PAGES for name in written_files(page)}
    firsts = []
    for word, override in zip(words, OverridesParser.create().parse_overrides(words), strict=True):
        if not override.is_sweep_override():
            firsts.append(word)
            continue
        assert sweep, f"`{word}` is a sweep and the command has no -m"
        values = list(override.sweep_string_iterator())
        firsts.append(f"{override.get_key_element()}={values[0]}")
        if is_choice(word):
            files = [f"configs/{override.key_or_group}/{value}.yaml" for value in values]
            assert [file for file in files if not (REPOSITORY / file).is_file() and file not in made] == []
    return firsts


def check_entry_point(entry: str, words: list[str], compose_typed: Callable[[str, list[str]], Any]) -> None:
    from hydra._internal.utils import get_args_parser

    if lists := [word.partition("=")[2] for word in words if word.startswith("info=")]:
        assert all(importlib.import_module("biasmask.cli.info_pages").info_page(name) for name in lists)
        return
    typed = get_args_parser().parse_args(words)
    if typed.help or typed.hydra_help or typed.shell_completion:
        return
    sweep, words = typed.multirun, [word for word in typed.overrides if not (is_choice(word) and word.endswith("=placeholder"))]
    if any(choice in words and importlib.util.find_spec(f"hydra_plugins.{plugin}") is None for choice, plugin in PLUGINS.items()):
        words = [word for word in words if not word.startswith(("hydra/launcher", "hydra.launcher", "hparams_search"))]
    config = compose_typed(entry, first_values(words, sweep))
    name, attribute = (config.get("data") or {}).get("name"), config.get("attribute")
    if name in KNOWN_SETS and attribute:
        asked = [attribute] if isinstance(attribute, str) else attribute
        assert {part for each in asked for part in each.split("+")} <= set(config["data"]["attributes"])


def check_script(script: Path, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a script up to its flags."""
    parse = argparse.ArgumentParser.parse_args

    def parse_only(self: argparse.ArgumentParser, *given: Any) -> None:
        parse(self, *given)
        raise ParsedError

    assert script.is_file(), f"{script} isn't there"
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_only)
    monkeypatch.setattr(sys, "argv", [str(script), *words])
    monkeypatch.syspath_prepend(str(script.parent))
    with pytest.raises(ParsedError):
        runpy.run_path(str(script), run_name="__main__")


def check_command(command: Command, made: set[str], monkeypatch: pytest.MonkeyPatch, compose_typed: Callable[..., Any]) -> None:
    program, *words = command.words
    if program == "make":
        targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
        assert {word for word in words if "=" not in word} <= targets
    elif program in ("python", "python3") and words[0] == "-c":
        check_python(words[1], made, {})
    elif program in ("python", "python3") and words[0] in ("src/train.py", "src/eval.py"):
        check_entry_point(Path(words[0]).stem, words[1:], compose_typed)
    elif program in ("python", "python3") and words[0].startswith(("scripts/", "benchmarks/")):
        with monkeypatch.context() as patch:
            check_script(REPOSITORY / words[0], words[1:], patch)
    else:
        ours = {word for word in words if word.split("/")[0] in TRACKED and "/" in word}
        assert [word for word in sorted(ours) if word not in made and not (REPOSITORY / word).exists()] == []


def check_python(text: str, made: set[str], known: dict[str, Any]) -> None:
    """Code compiles, what it imports is there, and functions of the API take what they are given; `known`: names so far."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            if f"src/{node.module.replace('.', '/')}.py" in made:  # type: ignore[union-attr]
                continue
            module = importlib.import_module(node.module)  # type: ignore[arg-type]
            known |= {name.asname or name.name: getattr(module, name.name) for name in node.names}
        elif isinstance(node, ast.Import):
            assert all(importlib.util.find_spec(name.name) for name in node.names)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        function = known.get(node.func.id)
        spread = any(isinstance(given, ast.Starred) for given in node.args) or not all(word.arg for word in node.keywords)
        if inspect.isfunction(function) and function.__module__.startswith("biasmask") and not spread:
            inspect.signature(function).bind(*node.args, **{str(word.arg): word.value for word in node.keywords})


@OF_PAGE
def test_commands_are_accepted(page: Path, monkeypatch: pytest.MonkeyPatch, compose_typed: Callable[..., Any]) -> None:
    made, wrong = set(written_files(page)), []
    for command in commands(page):
        try:
            check_command(command, made, monkeypatch, compose_typed)
        except (Exception, SystemExit) as error:
            wrong.append(f"{command.where} {' '.join(command.words)}\n    {type(error).__name__}: {error}")
    assert not wrong, "\n".join(wrong)


def check_fence(fence: Fence, made: set[str], known: dict[str, Any]) -> None:
    if fence.language == "python":
        check_python(fence.text, made, known)
    elif fence.language == "yaml":
        yaml.safe_load(fence.text)
    elif fence.language == "json":
        assert json.loads(fence.text)


@OF_PAGE
def test_code_compiles_and_imports(page: Path) -> None:
    made, known = set(written_files(page)), {}  # type: ignore[var-annotated]
    for fence in fences(page):
        if not fence.unchecked:
            try:
                check_fence(fence, made, known)
            except Exception as error:
                raise AssertionError(f"{fence.where}: {type(error).__name__}: {error}") from error


@OF_PAGE
def test_a_fence_says_what_it_is_or_why_it_is_not_checked(page: Path) -> None:
    for fence in fences(page):
        assert fence.language in ("bash", "python", "yaml", "json", "math", "text", ""), fence.where
        assert fence.unchecked is None or len(fence.unchecked) > 10, f"{fence.where}: say why it can't be checked"
        is_command = re.match(r"(python3?|make|pip|bash|export) ", fence.text) is not None
        assert fence.language or not is_command, f"{fence.where}: a command in a fence without a language is not checked"


def test_a_wrong_command_is_found(monkeypatch: pytest.MonkeyPatch, compose_typed: Callable[..., Any]) -> None:
    wrong = {
        "python src/train.py experiment=bmft_ham10000 debias.edit_fracton=0.1": "edit_fracton",
        "python src/train.py experiment=bmft_ham10000 debias=bmft,full_ft": "no -m",
        "python src/train.py -m experiment=bmft_ham10000 debias=bmft,ful_ft": "ful_ft",
        "python src/train.py experiment=bmft_ham10000 attribute=skin": "skin",
        "python src/eval.py split=val": "ckpt_path",
        "python scripts/compare_runs.py logs --referense full_ft": "2",
        "python scripts/no_such.py": "isn't there",
        "make demmo": "demmo",
        "bash scripts/no_such.sh": "no_such",
        "python -c 'from biasmask.api import no_such'": "no_such",
        "python -c 'from biasmask.api import load_model; load_model(pth=1)'": "path|pth",
    }
    import shlex

    for text, why in wrong.items():
        with pytest.raises((Exception, SystemExit), match=why):
            check_command(Command("here", tuple(shlex.split(text))), set(), monkeypatch, compose_typed)
