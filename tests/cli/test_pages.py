"""The help and the lists: made of the YAML files' own comments, whole, and without anything heavy."""

import subprocess
import sys

import pytest

from biasmask.cli.catalogue import choices, groups, header, is_part, keys
from biasmask.cli.help_page import EXAMPLES, help_page
from biasmask.cli.info_pages import info_page
from tests.conftest import CONFIGS, REPOSITORY, compose_config


@pytest.mark.parametrize("group", groups())
def test_every_choice_of_a_group_has_its_line_in_the_help(group: str) -> None:
    page = help_page("train").splitlines()
    for path in (CONFIGS / group).rglob("*.yaml"):
        name = path.relative_to(CONFIGS / group).with_suffix("").as_posix()
        lines = [line for line in page if line[4:].split("  ")[0] == name and line.endswith(header(path)[0])]
        assert bool(lines) != is_part(name), f"{group}={name}"


@pytest.mark.parametrize("entry", ["train", "eval"])
def test_the_help_tells_every_key_of_the_top_level_and_every_default(entry: str) -> None:
    page = help_page(entry)
    chosen, own = keys(entry)
    assert all(key.about for key in [*chosen, *own]), "each key at the top has a comment on its line"
    for key in own:
        assert f"  {key.name}={key.value}" in page and key.about in page
    for key in chosen:
        assert f"\n{key.name}: {key.about}" in page
        if key.value not in ("null", "???"):
            assert f"  * {key.value}" in page


@pytest.mark.parametrize("words", [words for words, _ in EXAMPLES["train"] if "-m" not in words])
def test_the_examples_compose(words: str, tmp_path) -> None:
    config = compose_config("train", words.replace("<folder>", "data").split(), tmp_path)
    assert config.debias.stages


@pytest.mark.parametrize("experiment", choices("experiment"), ids=lambda choice: choice.name)
def test_every_experiment_names_paper_data_and_time(experiment) -> None:
    assert set(experiment.fields) == {"paper", "data", "time"}
    line = next(line for line in info_page("experiments").splitlines() if line.startswith(f"{experiment.name} "))
    assert experiment.about in line and all(value in line for value in experiment.fields.values())


def test_lists_of_methods_data_and_metrics() -> None:
    assert "text/inlp" in info_page("methods") and "stage/locate" not in info_page("methods")
    assert "ham10000_diagnoses" in info_page("data") and "\nbase" not in info_page("data")
    metrics = info_page("metrics")
    assert "Equalized-odds gap (mean), lower is better" in metrics and "Mean |d|, lower is better" in metrics


def ask(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(REPOSITORY / "src/train.py"), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_list_and_a_wrong_list_from_the_command_line() -> None:
    found = ask("info=experiments", "info=data")
    assert found.returncode == 0 and "bmft_ham10000" in found.stdout and "fitzpatrick17k" in found.stdout
    wrong = ask("info=experiment")
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("error: info=experiment: there is no such list; did you mean info=experiments?")
    assert len(wrong.stderr.splitlines()) == 1


def test_a_reader_that_closes_the_pipe_gets_no_traceback() -> None:
    command = f"{sys.executable} {REPOSITORY / 'src/train.py'} --help | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and done.stderr == ""
