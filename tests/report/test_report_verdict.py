"""The verdict: every honest alternative, from hand-written intervals."""

import json
from pathlib import Path
from typing import Any

import pytest

from biasmask.report.run_folder import load_run_folder
from biasmask.report.verdict import Verdict, judge

GAP, AUROC, TPR_A, FPR_B = "test/equalized_odds_mean/sex", "test/auroc", "test/tpr/sex=a", "test/fpr/sex=b"
Triple = tuple[float | None, float | None, float | None]


def verdict_of(
    folder: Path, differences: dict[str, Triple], after: dict[str, float | None] | None = None, **more: Any
) -> Verdict:
    """Base figures are .5, AUROC .86; the final ones are those plus the difference."""
    models: dict[str, dict[str, Any]] = {"base": {}, "debiased": {}}
    for key, (value, _, _) in differences.items():
        base = 0.86 if key == AUROC else 0.5
        models["base"][key] = entry((base, base - 0.02, base + 0.02))
        models["debiased"][key] = entry((None if value is None else base + value, None, None))
    for key, value in (after or {}).items():
        models["debiased"][key] = entry((value, None, None))
    content = {"models": models, "difference": {key: entry(triple) for key, triple in differences.items()}, **more}
    (folder / "metrics.json").write_text(json.dumps(content), encoding="utf-8")
    (folder / "run.json").write_text(json.dumps({"attribute": "sex", "final": "debiased"}), encoding="utf-8")
    return judge(load_run_folder(folder))


def entry(triple: Triple) -> dict[str, Any]:
    value, low, high = triple
    return {"value": value, "low": low, "high": high, "reason": "no positive in a" if value is None else None}


FELL, FLAT = (-0.13, -0.17, -0.08), (-0.005, -0.012, 0.003)


def test_fell_and_no_group_got_worse(tmp_path: Path) -> None:
    verdict = verdict_of(tmp_path, {GAP: FELL, AUROC: FLAT, TPR_A: (0.1, 0.05, 0.2), FPR_B: (0.01, -0.02, 0.03)})
    assert verdict.state == "fell"
    assert verdict.sentence.replace("\N{NO-BREAK SPACE}", " ").replace("\N{MINUS SIGN}", "-") == (
        "The equalized-odds gap fell from 0.500 to 0.370 (difference -0.130, 95 % interval -0.170 to -0.080). "
        "AUROC changed by -0.005 (-0.012 to +0.003). No group got measurably worse."
    )


def test_rose(tmp_path: Path) -> None:
    verdict = verdict_of(tmp_path, {GAP: (0.1, 0.05, 0.2), AUROC: (-0.02, -0.03, -0.01), TPR_A: (-0.1, -0.2, -0.05)})
    assert verdict.state == "rose" and "rose from 0.500 to 0.600" in verdict.headline
    assert "AUROC fell by 0.020" in verdict.headline and verdict.kind == "Got worse"


def test_not_distinguishable(tmp_path: Path) -> None:
    verdict = verdict_of(tmp_path, {GAP: (-0.02, -0.06, 0.02), AUROC: FLAT})
    assert verdict.state == "unclear" and "not distinguishable from no change" in verdict.sentence


def test_without_intervals_nothing_is_claimed(tmp_path: Path) -> None:
    verdict = verdict_of(tmp_path, {GAP: (-0.2, None, None), TPR_A: (-0.2, None, None)})
    assert verdict.state == "unclear" and "no interval is stored" in verdict.sentence
    assert not verdict.worse and verdict.not_judged == ["TPR of a"]


@pytest.mark.parametrize(("tpr", "kind"), [((0.1, 0.05, 0.2), "Levelling down in part"), ((0.0, -0.1, 0.1), "Levelling down")])
def test_levelling_down_names_group_and_metric(tmp_path: Path, tpr: Triple, kind: str) -> None:
    verdict = verdict_of(tmp_path, {GAP: FELL, TPR_A: tpr, FPR_B: (0.1, 0.05, 0.2)})
    assert verdict.kind == kind and len(verdict.worse) == 1
    assert verdict.worse[0].startswith("FPR of b (0.500 to 0.600; +0.100")
    assert ("No group got better." in verdict.sentence) == (kind == "Levelling down")


def test_undefined_gap_says_why(tmp_path: Path) -> None:
    verdict = verdict_of(tmp_path, {GAP: (None, None, None), AUROC: FLAT, TPR_A: (None, None, None)})
    assert verdict.state == "undefined" and "no positive in a" in verdict.sentence
    assert "Could not be judged: TPR of a" in verdict.sentence


def test_collapsed_by_the_stored_auroc(tmp_path: Path) -> None:
    verdict = verdict_of(tmp_path, {GAP: (-0.49, -0.5, -0.4), AUROC: (-0.35, -0.4, -0.3)}, after={GAP: 0.01})
    assert verdict.state == "collapsed" and "0.860 to 0.510" in verdict.sentence
    assert "gap of 0.010 says nothing about fairness" in verdict.sentence


def test_the_runs_own_finding_of_a_collapse_counts(tmp_path: Path) -> None:
    found = {"collapsed": True, "text": "collapsed: score spread fell from 0.3 to 0.001", "split": "val"}
    verdict = verdict_of(tmp_path, {GAP: FELL, AUROC: FLAT}, collapse=found)
    assert verdict.state == "collapsed" and "score spread fell from 0.3 to 0.001 (on val)" in verdict.sentence


def test_collapsed_by_its_predictions(collapsed_run: Path) -> None:
    assert judge(load_run_folder(collapsed_run)).state == "collapsed"


def test_another_gap_where_equalized_odds_is_missing(tmp_path: Path) -> None:
    verdict = verdict_of(tmp_path, {"test/demographic_parity/sex": FELL})
    assert verdict.headline.startswith("The demographic-parity gap fell")
