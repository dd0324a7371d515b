"""Rendered lesions: planted figures are exact, each picture is its own, and the cue is in the pixels."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from biasmask.data.rendered import CUES, RenderedLesions
from biasmask.errors import DataError

CONFIG = Path(__file__).parents[2] / "configs" / "data" / "rendered.yaml"
ONLY_TRAIN = {"train": 400, "debias": 0, "val": 0, "test": 0}


def p_malignant(frame, tone):
    return frame.loc[frame["raw:skin_tone"] == tone, "target"].mean()


def test_default_sizes_columns_and_order():
    table = RenderedLesions().load()
    frame = table.frame
    assert frame["split"].value_counts().to_dict() == {"train": 2400, "debias": 800, "val": 400, "test": 2000}
    assert list(frame.columns[:5]) == ["id", "path", "target", "split", "subject"]
    assert all(name.startswith("raw:") for name in frame.columns[5:])
    assert frame["target"].dtype == np.int64 and set(frame["target"]) == {0, 1}
    assert frame["path"].tolist() == [f"rendered/{row}" for row in range(len(frame))]
    assert frame["id"].is_unique and table.class_names == ("benign", "malignant") and not table.exclusions


@pytest.mark.parametrize(("correlation", "light", "dark"), [(0.7, 0.15, 0.85), (-0.5, 0.75, 0.25), (1.0, 0.0, 1.0)])
def test_planted_correlation_is_exact_in_train_and_absent_elsewhere(correlation, light, dark):
    frame = RenderedLesions(correlation=correlation).load().frame
    train = frame[frame["split"] == "train"]
    assert p_malignant(train, "light") == pytest.approx(light) and p_malignant(train, "dark") == pytest.approx(dark)
    for split in ("debias", "val", "test"):
        part = frame[frame["split"] == split]
        assert p_malignant(part, "light") == p_malignant(part, "dark") == 0.5


def test_three_tones_shares_and_prevalence():
    source = RenderedLesions(
        n={"train": 1000}, tones=3, tone_shares=[0.5, 0.3, 0.2], malignant_share=0.3, correlation=0.5
    )
    train = source.load().frame.query("split == 'train'")
    counts = train["raw:skin_tone"].value_counts()
    assert counts.to_dict() == {"light": 500, "medium": 300, "dark": 200}
    rates = [p_malignant(train, tone) for tone in ("light", "medium", "dark")]
    assert rates == pytest.approx([0.15, 0.3, 0.45])


def test_shade_tells_the_tone_without_overlap_and_cues_follow_the_target():
    frame = RenderedLesions().load().frame
    dark = frame["raw:skin_tone"] == "dark"
    assert frame.loc[~dark, "raw:shade"].max() < 0.5 < frame.loc[dark, "raw:shade"].min()
    for cue in CUES:
        assert frame[f"raw:{cue}"].between(0, 1).all()
        assert roc_auc_score(frame["target"], frame[f"raw:{cue}"]) > 0.9


def test_hard_sets_how_far_a_perfect_reader_gets():
    for hard, expected in ((0.25, 0.983), (0.5, 0.921), (1.0, 0.5)):
        frame = RenderedLesions(n={"train": 8000}, hard=hard).load().frame
        assert roc_auc_score(frame["target"], frame["raw:atypia"]) == pytest.approx(expected, abs=0.015)


def test_a_row_alone_equals_the_row_among_others():
    source = RenderedLesions(n={"train": 30, "debias": 0, "val": 0, "test": 5})
    table = source.load()
    whole = source.render(table, 48)
    assert whole.shape == (35, 48, 48, 3) and whole.dtype == np.uint8
    for row in (0, 7, 8, 21, 34):
        assert np.array_equal(source.render(table, 48, [row])[0], whole[row])
    assert np.array_equal(source.render(table, 48, [20, 3, 20]), whole[[20, 3, 20]])
    assert np.array_equal(source.render(table, 48), whole)
    assert source.render(table, 48, []).shape == (0, 48, 48, 3)


def test_other_splits_do_not_depend_on_the_size_of_train():
    small, large = (RenderedLesions(n={"train": n, "debias": 5, "val": 0, "test": 9}) for n in (10, 50))
    a, b = small.load(), large.load()
    assert a.frame["id"].tolist()[10:] == b.frame["id"].tolist()[50:]
    assert np.array_equal(small.render(a, 32, np.arange(10, 24)), large.render(b, 32, np.arange(50, 64)))


def test_same_picture_at_any_size():
    source = RenderedLesions(n=ONLY_TRAIN)
    table = source.load()
    small, large = source.render(table, 48, range(12)), source.render(table, 96, range(12))
    halved = large.reshape(12, 48, 2, 48, 2, 3).mean((2, 4))
    assert np.abs(halved - small).mean() < 5


def test_seed_changes_table_and_pictures():
    one, two = RenderedLesions(n=ONLY_TRAIN, seed=1), RenderedLesions(n=ONLY_TRAIN, seed=2)
    assert not one.load().frame["target"].equals(two.load().frame["target"])
    assert not np.array_equal(one.render(one.load(), 32, [0]), two.render(two.load(), 32, [0]))


def test_parameters_are_json_and_differ_with_each_argument():
    changes = [{}, {"correlation": 0.1}, {"test_correlation": 0.1}, {"hard": 0.1}, {"tones": 3}, {"seed": 4}]
    changes += [{"n": {"train": 7}}, {"malignant_share": 0.4}, {"tone_shares": [0.4, 0.6]}]
    assert len({json.dumps(RenderedLesions(**change).parameters()) for change in changes}) == len(changes)


def test_tone_is_in_the_skin_and_the_cue_in_the_lesion():
    """Darker skin at the corners; and simple figures of the picture's middle tell the targets apart within one tone."""
    source = RenderedLesions(n={"train": 1200, "debias": 0, "val": 0, "test": 0}, correlation=0.0, hard=0.0)
    table = source.load()
    images = source.render(table, 32).astype(np.float32)
    dark = (table.frame["raw:skin_tone"] == "dark").to_numpy()
    corners = images[:, [0, 0, -1, -1], [0, -1, 0, -1]].mean((1, 2))
    assert roc_auc_score(dark, -corners) > 0.97
    middle = images[:, 8:24, 8:24]
    skin = images[:, [0, -1]].mean((1, 2))[:, None, None]
    ratio = np.log((middle + 1) / (skin + 1)).reshape(1200, -1, 3)
    redder = ratio[..., 0] - ratio[..., 1:].mean(-1)
    features = np.concatenate([ratio.std(1), ratio.mean(1), redder.std(1)[:, None]], axis=1)
    features = (features - features.mean(0)) / features.std(0)
    target = table.frame["target"].to_numpy()
    for tone in (dark, ~dark):
        rows = np.flatnonzero(tone)
        half = len(rows) // 2
        model = LogisticRegression().fit(features[rows[:half]], target[rows[:half]])
        assert roc_auc_score(target[rows[half:]], model.decision_function(features[rows[half:]])) > 0.75


def test_fast_enough():
    """A tenth of the 2,000 pictures a second that one core draws, so that a busy machine does not fail the test."""
    source = RenderedLesions(n=ONLY_TRAIN)
    table = source.load()
    start = time.perf_counter()
    source.render(table, 64, range(200))
    assert 200 / (time.perf_counter() - start) > 200


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ({"n": {"training": 5}}, "training"),
        ({"n": {"train": -1}}, "-1"),
        ({"n": dict.fromkeys(("train", "debias", "val", "test"), 0)}, "above 0"),
        ({"correlation": 1.5}, "correlation=1.5"),
        ({"test_correlation": -2}, "test_correlation=-2"),
        ({"hard": 3}, "hard=3"),
        ({"malignant_share": 1.0}, "malignant_share=1.0"),
        ({"tones": 5}, "tones=5"),
        ({"tone_shares": [0.5, 0.2]}, "sum to 1"),
    ],
)
def test_bad_parameters_are_named(arguments, part):
    with pytest.raises(DataError, match="rendered lesions") as error:
        RenderedLesions(**arguments)
    assert part in str(error.value) and "\n" not in str(error.value)


def test_config_builds_the_source_and_agrees_with_the_defaults():
    config = yaml.safe_load(CONFIG.read_text())
    arguments = {key: value for key, value in config["source"].items() if not key.startswith("_")}
    arguments["name"] = config["name"]
    assert RenderedLesions(**arguments).parameters() == RenderedLesions().parameters()
    assert config["attribute"] in config["attributes"] and config["image_size"] == 64
