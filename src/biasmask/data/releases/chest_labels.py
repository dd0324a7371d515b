"""What the chest X-ray sets share: the labels of the CheXpert labeller, what an uncertain one counts as, and groups of race."""

import numpy as np
import pandas as pd

from biasmask.data.release import numbers, one_of

LABELS = (
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation",
    "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture", "Support Devices",
)  # fmt: skip
UNCERTAIN = {"exclude": None, "positive": "present", "negative": "absent"}
BLANK = {"exclude": None, "negative": "absent"}
RACES = (("white", "White"), ("black", "Black"), ("asian", "Asian"), ("hispanic", "Hispanic/Latino"))
NOT_KNOWN = ("", "unknown", "unable to obtain", "patient declined to answer", "patient refused", "refused", "declines to state")


def chest_target(column: pd.Series, uncertain: str, blank: str) -> np.ndarray:
    """`present` (1), `absent` (0), or what an uncertain (-1) and an unmentioned (empty) label count as; None = left out.

    Args:
        column: (N,) 1, 0, -1 or missing.
        uncertain: exclude | positive | negative: U-Ignore, U-Ones and U-Zeros of the CheXpert paper.
        blank: negative | exclude.

    Raises:
        ConfigError: another policy.

    >>> chest_target(pd.Series([1, 0, -1, None]), "positive", "negative").tolist()
    ['present', 'absent', 'present', 'absent']
    """
    one_of("uncertain", uncertain, list(UNCERTAIN))
    one_of("blank", blank, list(BLANK))
    values = numbers(column)
    out = np.full(len(values), None, dtype=object)
    out[(values == 1).to_numpy()], out[(values == 0).to_numpy()] = "present", "absent"
    out[(values == -1).to_numpy()], out[values.isna().to_numpy()] = UNCERTAIN[uncertain], BLANK[blank]
    return out


def race_groups(column: pd.Series) -> list[str | None]:
    """White, Black, Asian, Hispanic/Latino or Other by the first word of a hospital's entry; None where it isn't known.

    >>> race_groups(pd.Series(["WHITE - RUSSIAN", "Black or African American", "UNKNOWN", "Pacific Islander", None]))
    ['White', 'Black', None, 'Other', None]
    """
    out: list[str | None] = []
    for value in column:
        text = str(value).strip().lower() if isinstance(value, str) else ""
        group = next((name for start, name in RACES if text.startswith(start)), "Other")
        out.append(None if text in NOT_KNOWN else group)
    return out
