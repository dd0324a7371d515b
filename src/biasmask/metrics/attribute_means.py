"""The gap of a run that debiases several attributes: the mean of their gaps, under a key of its own."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch

from biasmask.metrics.table_draws import TableDraws

GAP = "equalized_odds_mean"


def mean_name(attributes: Sequence[str]) -> str:
    """What stands in the key in the place of an attribute.

    >>> mean_name(["age", "sex"])
    'mean of age and sex'
    """
    return f"mean of {' and '.join(attributes)}"


def mean_keys(keys: Iterable[str], attributes: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Key of the mean gap -> the keys that it is the mean of, for each test set (and class) that has them all.

    >>> mean_keys(["test/equalized_odds_mean/age", "test/equalized_odds_mean/sex", "test/auroc"], ["age", "sex"])
    {'test/equalized_odds_mean/mean of age and sex': ('test/equalized_odds_mean/age', 'test/equalized_odds_mean/sex')}
    """
    if len(attributes) < 2:
        return {}
    known = dict.fromkeys(keys)
    found = {}
    for split in dict.fromkeys(key.partition("/")[0] for key in known):
        parts = tuple(f"{split}/{GAP}/{attribute}" for attribute in attributes)
        if all(part in known for part in parts):
            found[f"{split}/{GAP}/{mean_name(attributes)}"] = parts
    return found


def with_means(table: TableDraws, attributes: Sequence[str]) -> TableDraws:
    """The figures of a table and the mean gaps; a mean is undefined where one of its gaps is.

    Args:
        table: M figures.
        attributes: the debiased ones; with fewer than two the table stays as it is.
    """
    columns = {key: place for place, key in enumerate(table.counts)}
    counts, reasons, point, draws = dict(table.counts), dict(table.reasons), [table.point], [table.draws]
    for key, parts in mean_keys(columns, attributes).items():
        own = [columns[part] for part in parts]
        point.append(table.point[own].mean(0, keepdim=True))
        draws.append(table.draws[:, own].mean(1, keepdim=True))
        counts[key] = tuple(min(table.counts[part][place] for part in parts) for place in (0, 1))  # type: ignore[assignment]
        reasons[key] = next((table.reasons[part] for part in parts if table.reasons[part]), None)
    return replace(table, counts=counts, reasons=reasons, point=torch.cat(point), draws=torch.cat(draws, 1))
