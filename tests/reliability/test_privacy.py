"""What is written of persons: no row by default, ids by a key, small cells marked by a bound of one's own."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import Runner, UserTable


def keyed(user_table: UserTable, runner: Runner, trained_net: Callable[..., Path], key: Path, *more: str) -> pd.DataFrame:
    run = runner.train(*user_table.overrides, f"model.ckpt_path={trained_net()}", f"data.id_key={key}", *more)
    return pd.read_parquet(run.folder / "predictions" / "debiased_test.parquet")


def test_ids_by_a_key_pair_runs_and_tell_no_name(
    user_table: UserTable, runner: Runner, trained_net: Callable[..., Path], tmp_path: Path
) -> None:
    plain = runner.train(*user_table.overrides, f"model.ckpt_path={trained_net()}")
    key, other = tmp_path / "key", tmp_path / "other"
    key.write_text("a" * 32 + "\n")
    other.write_text("b" * 32)
    before = pd.read_parquet(plain.folder / "predictions" / "debiased_test.parquet")
    first, again, second = (keyed(user_table, runner, trained_net, file) for file in (key, key, other))
    assert before["id"].str.endswith(".png").all() and first["id"].str.fullmatch("[0-9a-f]{20}").all()
    assert first["id"].is_unique and first["id"].equals(again["id"]) and not (first["id"] == second["id"]).any()
    assert first.drop(columns="id").equals(before.drop(columns="id")), "only ids change"


@pytest.mark.parametrize("content, message", [(None, "can't be read"), ("short", "holds 5 bytes, and a key needs 16")])
def test_a_key_that_is_none(content: str | None, message: str, user_table: UserTable, runner: Runner, tmp_path: Path) -> None:
    key = tmp_path / "key"
    if content is not None:
        key.write_text(content)
    text = runner.error(lambda: runner.train(*user_table.overrides, f"data.id_key={key}"))
    assert f"data.id_key={key}" in text and message in text


def test_the_bound_of_small_cells_is_a_key(user_table: UserTable, runner: Runner, trained_net: Callable[..., Path]) -> None:
    run = runner.train(*user_table.overrides, f"model.ckpt_path={trained_net()}", "data.small_cell=3")
    assert run.read("checker.json")["minimum_cell"] == 3 and run.read("checker.json")["small_cells"] == []
    run = runner.train(*user_table.overrides, f"model.ckpt_path={trained_net()}", "data.small_cell=11")
    small = run.read("checker.json")["small_cells"]
    assert small and all(cell["count"] < 11 for cell in small)
    texts = {name: (run.folder / name).read_text(encoding="utf-8") for name in ("report.html", "model_card.md")}
    assert all("fewer than 11 rows" in text for text in texts.values())
    assert '<span class="few"> few</span>' in texts["report.html"] and "(few)" in texts["model_card.md"]
