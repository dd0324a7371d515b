"""Names out of a stranger's table: markup, code and control signs in ids, groups, classes, attributes and names of runs."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Runner, UserTable

TAG = "<img src=x onerror=alert(1)>"
RICH = "[/]"  # closes a style that was never opened: rich raises, where a text is taken for markup
COLUMN = f"{RICH}<b>rare</b>"
SHOWN = (".html", ".md")


@pytest.fixture
def hostile(user_table: UserTable) -> UserTable:
    frame = user_table.frame.rename(columns={"sex": COLUMN})
    number = np.arange(len(frame))
    frame[COLUMN] = np.where(number // 2 % 2, f"{RICH}|`{TAG}", "[red]$x$ {{7*7}} #1")
    frame.loc[:2, COLUMN] = "a_b & <b>rare</b>"
    frame["id"] = [f"{TAG}{RICH}{n}" for n in number]
    user_table.save(frame)
    return user_table


def test_no_name_becomes_markup(
    hostile: UserTable, runner: Runner, trained_net: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    keys = [word for word in hostile.overrides if not word.startswith("attribute=")]
    names = ["data.id=id", f"data.name='{TAG}{RICH}'", f"name='run {RICH}'", "data.show_rows=true"]
    run = runner.train(*keys, f"attribute='{COLUMN}'", *names, f"model.ckpt_path={trained_net()}")
    told = capsys.readouterr().out
    assert f"data: test: {COLUMN}=a_b" in " ".join(told.split())
    for path in (p for p in run.folder.rglob("*") if p.suffix in SHOWN):
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".md":
            text = re.sub(r"^(```+).*?^\1$", "", text, flags=re.MULTILINE | re.DOTALL)
        assert TAG not in text and "<b>rare" not in text and "<img" not in text, path.name
    report = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "&lt;img src=x" in report and "<script" not in report and "{{7*7}}" in report


@pytest.mark.parametrize("sign", ["\x1b[2J", "\x07", "\u202e"])
def test_a_group_with_control_signs_is_refused_and_shown_without_them(
    sign: str, user_table: UserTable, runner: Runner, trained_net: Callable[..., Path]
) -> None:
    frame = user_table.frame.assign(sex=user_table.frame["sex"].where(user_table.frame["sex"] == "male", f"fe{sign}male"))
    user_table.save(frame)
    text = runner.error(lambda: runner.train(*user_table.overrides, f"model.ckpt_path={trained_net()}"))
    assert "with control characters: clean the column" in text and "column 'sex'" in text
    assert sign not in text
