"""What a hyper-parameter search makes small."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from biasmask.errors import MethodError


def objective(base: Mapping[str, Any], final: Mapping[str, Any], names: Sequence[str]) -> float:
    """Equalized-odds gap (mean) on the validation rows, plus ten times what is lost there beyond 0.01.

    Args:
        base, final: figure -> {value, ...} of the two models.
        names: attributes, whose gaps are averaged.

    Returns:
        The smaller the better; NaN where no gap is defined.

    Raises:
        MethodError: AUROC is undefined.

    >>> base = {"val/auroc": {"value": 0.8}, "val/balanced_accuracy": {"value": 0.7}}
    >>> same_of_all = base | {"val/equalized_odds_mean/sex": {"value": 0.0}, "val/balanced_accuracy": {"value": 0.5}}
    >>> round(objective(base, same_of_all, ["sex"]), 6)
    1.9
    """
    gaps = [final.get(f"val/equalized_odds_mean/{name}", {}).get("value") for name in names]
    defined = [gap for gap in gaps if gap is not None]
    if not defined:
        return math.nan
    values = [(base[key]["value"], final[key]["value"]) for key in ("val/auroc", "val/balanced_accuracy")]
    if any(value is None or not math.isfinite(value) for pair in values for value in pair):
        raise MethodError("AUROC or balanced accuracy on the validation split is undefined: it holds rows of one class only")
    lost = max(before - after for before, after in values)
    return float(sum(defined) / len(defined) + 10 * max(0.0, lost - 0.01))
