"""Predictions frames for the tests of this folder."""

import numpy as np
import pandas as pd

ATTRIBUTES = {"skin_tone": ("I-II", "III-IV", "V-VI"), "sex": ("female", "male")}


def random_frame(seed: int, n_rows: int = 200, effect: float = 1.5, missing: float = 0.1) -> pd.DataFrame:
    """Scores that rank the classes by `effect`; groups at random, a share of them missing."""
    generator = np.random.default_rng(seed)
    target = (generator.random(n_rows) < 0.4).astype(np.int64)
    logit = effect * (target - 0.5) + generator.normal(size=n_rows)
    frame = pd.DataFrame(
        {
            "row": generator.permutation(10 * n_rows)[:n_rows],
            "score": 1 / (1 + np.exp(-logit)),
            "logit": logit,
            "target": target,
        }
    )
    for attribute, names in ATTRIBUTES.items():
        values = generator.choice(np.array(names, dtype=object), n_rows)
        values[generator.random(n_rows) < missing] = None
        frame[f"attribute:{attribute}"] = values
    return frame


def hand_frame() -> pd.DataFrame:
    """Twelve rows, two groups and one row without a group; threshold 0.5 predicts positive from 0.5 on."""
    rows = [
        # score, target, sex
        (0.9, 1, "female"),
        (0.4, 1, "female"),
        (0.6, 0, "female"),
        (0.2, 0, "female"),
        (0.1, 0, "female"),
        (0.8, 1, "male"),
        (0.7, 1, "male"),
        (0.5, 1, "male"),
        (0.55, 0, "male"),
        (0.3, 0, "male"),
        (0.05, 0, "male"),
        (0.95, 0, None),
    ]
    frame = pd.DataFrame(rows, columns=["score", "target", "attribute:sex"])
    return frame.assign(row=range(len(rows)))
