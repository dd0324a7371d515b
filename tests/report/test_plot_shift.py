"""Methods beside the line of shifted scores."""

from pathlib import Path

import pytest
from fake_sweep_runs import write_sweep

from biasmask.errors import ConfigError
from biasmask.report.plot_shift import method_points, shift_picture
from biasmask.report.sweep_content import compare_folders


def test_each_method_is_a_dot_beside_the_line(tmp_path: Path) -> None:
    content = compare_folders([write_sweep(tmp_path / "runs", ("bmft", "full_ft"), (1, 2))])
    points = {name: (quality["value"], gap["value"]) for name, quality, gap in method_points(content)}
    assert set(points) == {"BMFT", "full fine-tuning"} and points["BMFT"][1] < 0
    file = shift_picture([(0.0, 0.0), (-0.01, -0.05)], [0.0, 1.0], content, tmp_path / "shift.svg")
    text = file.read_text(encoding="utf-8")
    for words in ("scores moved by group", "BMFT", "full fine-tuning", "change of AUROC"):
        assert words in text
    again = shift_picture([(0.0, 0.0), (-0.01, -0.05)], [0.0, 1.0], content, tmp_path / "shift.png")
    assert again.read_bytes()[:4] == b"\x89PNG"


def test_an_empty_comparison_is_told() -> None:
    with pytest.raises(ConfigError, match="the comparison is empty"):
        method_points({"comparisons": []})
