"""The table for exploring: every setting by its validation figures, and no test row looked at."""

from pathlib import Path

import pytest
from fake_sweep_runs import write_run, write_sweep

from biasmask.errors import StoreError
from biasmask.report.sweep_validation import table_content, validation_tables


def test_every_setting_has_a_row_beside_the_base_model(tmp_path: Path) -> None:
    write_sweep(tmp_path, ("bmft", "full_ft"), (1, 2))
    write_run(tmp_path / "more", "bmft", 1, overrides={"debias.edit_fraction": 0.05}, lean=3.0)
    write_run(tmp_path / "flat", "bmft", 2, overrides={"debias.edit_fraction": 0.5}, collapsed=True)
    (table,) = validation_tables([tmp_path])
    assert table.title == "ham10000, age, test_resnet: validation rows"
    names = [row[0] for row in table.rows]
    fractions = ["BMFT (edit_fraction=0.01)", "BMFT (edit_fraction=0.05)", "BMFT (edit_fraction=0.5)"]
    assert names[0] == "base model" and sorted(names[1:]) == [*fractions, "full fine-tuning"]
    rows = dict(zip(names, table.rows, strict=True))
    assert rows["base model"][1] == "2" and " ± " in rows["base model"][2]
    assert rows[fractions[0]][5].startswith("\N{MINUS SIGN}") and rows[fractions[1]][5].startswith("+")  # the gap fell, rose
    assert rows[fractions[1]][2].count("±") == 0  # one run has no spread
    assert rows[fractions[2]][-1] == "1 of 1"
    assert table_content(table, "us")["kind"] == "table"


def test_test_rows_are_not_read(tmp_path: Path) -> None:
    write_sweep(tmp_path, ("bmft",), (1,))
    before = validation_tables([tmp_path])
    for file in tmp_path.glob("0/predictions/*_test.parquet"):
        file.unlink()
    assert validation_tables([tmp_path]) == before


def test_a_run_without_validation_predictions_is_named(tmp_path: Path) -> None:
    write_sweep(tmp_path, ("bmft",), (1,))
    for file in tmp_path.glob("0/predictions/*_val.parquet"):
        file.unlink()
    with pytest.raises(StoreError, match="0: no predictions on validation rows"):
        validation_tables([tmp_path])
