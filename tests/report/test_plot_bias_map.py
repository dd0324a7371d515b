"""The pictures of the bias map: hostile names are escaped, what isn't known isn't drawn as 0, and the page stays whole."""

import json
from pathlib import Path
from typing import Any

import pytest
from fake_run import write_fake_run
from test_report_html import Outline

from biasmask.errors import StoreError
from biasmask.report.bias_map import part_sum, read_bias_map
from biasmask.report.html import write_report
from biasmask.report.plot_bias_map import bias_map_view


def row(block: str, kind: str, selected: float | None, **more: Any) -> dict[str, Any]:
    known = {"layer": None, "head": None, "parameters": 10, "changed": 1, "bias_importance": None, "task_importance": None}
    return {**known, "tensor": block, "block": block, "kind": kind, "selected": selected, **more}


def content(rows: list[dict[str, Any]], selected_by: str | None = "mask", known: bool = True) -> dict[str, Any]:
    return {"schema": 1, "rows": rows, "selected_by": selected_by, "changed_known": known}


def test_sums_leave_statistics_out_and_unknown_stays_unknown() -> None:
    rows = [row("a", "norm", 2.0, bias_importance=0.5), row("a", "conv", 4.0), row("a", "statistics", 0.0, changed=7)]
    found = part_sum("a", rows)
    assert (found.parameters, found.selected, found.changed, found.statistics, found.bias) == (20, 6.0, 2.0, 7.0, 0.5)
    assert found.share == 0.3
    unknown = part_sum("a", [row("a", "norm", None, changed=None)])
    assert unknown.share != unknown.share and unknown.changed != unknown.changed and unknown.task != unknown.task


def test_a_run_without_a_mask_shows_what_changed() -> None:
    view = bias_map_view(content([row("a", "conv", None)], None))
    assert view is not None and view.selected_words == "changed" and view.by_head is None and "10" in str(view.by_kind)
    assert bias_map_view(content([row("a", "conv", None, changed=None)], None, known=False)) is None
    assert bias_map_view(None) is None


def test_a_page_with_hostile_names_stays_whole(tmp_path: Path) -> None:
    run_dir = write_fake_run(tmp_path / "run")
    rows = [row("<script>alert(1)</script>", "conv", 3.0), row("b", "query", 1.0, layer=0, head=0)]
    (run_dir / "bias_map.json").write_text(json.dumps(content(rows)), encoding="utf-8")
    page = write_report(run_dir).read_text(encoding="utf-8")
    outline = Outline(page)
    assert not outline.broken and not outline.open and not outline.unlabelled
    assert "<script" not in page and "&lt;script&gt;alert" in page and 'id="bias-map"' in page
    (run_dir / "bias_map.json").write_text('{"schema": 99}', encoding="utf-8")
    with pytest.raises(StoreError, match="schema 1"):
        read_bias_map(run_dir)
