"""The figures of a text run as rows: SEAT by pooling, what debiasing cost, and every other benchmark."""

import math

from biasmask.report.formats import number
from biasmask.report.metric_names import MetricName
from biasmask.report.run_folder import Estimate, MetricKey
from biasmask.report.tables import Row, Section
from biasmask.report.text_folder import TextRun, pooling_words, seat_of

NAMES = {
    "effect_size": MetricName("Effect size d", 0),
    "mean_abs_effect_size": MetricName("Mean |d|", -1),
    "mean_abs_lean": MetricName("Mean |lean|: d without its division by the spread", -1),
    **{f"seat{test}": MetricName(f"|Lean| in SEAT {test}", -1) for test in ("6", "6b", "7", "7b", "8", "8b")},
    "probe/accuracy": MetricName("Probe accuracy", 1),
    "probe/spearman": MetricName("Likeness of pairs, rank correlation with people's", 1),
    "cosine_mean": MetricName("Cosine to the original, mean pooling", 1),
    "cosine_cls": MetricName("Cosine to the original, [CLS] pooling", 1),
    "pseudo_perplexity": MetricName("Pseudo-perplexity", -1),
    "debias_loss": MetricName("Debias loss", -1),
    "distance": MetricName("Distance of the attribute words to the original", -1),
    "stereotype_score": MetricName("Stereotype score", 0),
    "stereotype_gap": MetricName("Stereotype gap", 0),
    "stereotype": MetricName("Stereotype score", 0),
    "icat": MetricName("ICAT", 1),
    "language": MetricName("Language-modelling score", 1),
}
SPLITS = {
    "crows_pairs": "CrowS-Pairs", "stereoset": "StereoSet", "bec_pro": "BEC-Pro", "winobias": "WinoBias",
    "held_out": "Held-out sentences", "lean_mean": "Lean in SEAT, mean pooling", "lean_cls": "Lean in SEAT, [CLS] pooling",
}  # fmt: skip
NEUTRAL: dict[str, tuple[float, ...]] = {  # a share, or per cent
    "effect_size": (0.0,), "stereotype_gap": (0.0,), "stereotype_score": (0.5, 50.0), "stereotype": (0.5,),
}  # fmt: skip
COST = ("probe", "cost")


def text_name(key: MetricKey) -> MetricName:
    """Label and direction of a key; one that is not listed keeps its own name and has no direction.

    >>> text_name(MetricKey("probe", "accuracy")).label, text_name(MetricKey("new", "some_figure")).label
    ('Probe accuracy', 'Some figure')
    """
    unknown = MetricName(heading(key.metric), 0)
    return NAMES.get(f"{key.split}/{key.metric}") or NAMES.get(key.metric) or unknown


def seat_sections(run: TextRun) -> list[Section]:
    """A section a pooling, the verdict's first: the tests in their order, then the mean of |d|."""
    sections = []
    for pooling in run.poolings:
        own = [(seat[0], key) for key in run.folder.keys if (seat := seat_of(key.split)) and seat[1] == pooling]
        own.sort(key=lambda pair: (not pair[0], place_of(pair[0])))
        rows = [make_text_row(run, key, seat_label(run, test, key)) for test, key in own]
        sections.append(Section(heading(pooling_words(pooling)), rows))
    return sections


def seat_label(run: TextRun, test: str, key: MetricKey) -> str:
    """Name of a test's figure; what is not the effect size says so.

    A figure of another attribute than the debiased one has that attribute's name.
    """
    words = [f"SEAT {test}"] if test else []
    if not test or key.metric != "effect_size":
        words.append(text_name(key).label)
    return " ".join(words) + cell_words(run, key)


def heading(name: str) -> str:
    """A name from a key as a heading.

    >>> heading("new_test"), heading("[CLS] pooling"), heading("BEC")
    ('New test', '[CLS] pooling', 'BEC')
    """
    words = name.replace("_", " ")
    return words[:1].upper() + words[1:]


def place_of(test: str) -> tuple[int, str]:
    digits = "".join(sign for sign in test if sign.isdigit())
    return int(digits or 0), test


def cost_section(run: TextRun) -> Section:
    """Probe, cosine to the original, perplexity, and whatever else is filed under `probe` and `cost`."""
    keys = [key for key in run.folder.keys if key.split in COST]
    keys.sort(key=lambda key: COST.index(key.split))
    return Section("What it cost", [make_text_row(run, key) for key in keys])


def other_sections(run: TextRun) -> list[Section]:
    """Everything that is neither SEAT nor cost, grouped by the part of the key before the first slash."""
    splits = dict.fromkeys(key.split for key in run.folder.keys if key.split not in COST and not seat_of(key.split))
    return [
        Section(
            SPLITS.get(split, heading(split)),
            [make_text_row(run, key) for key in run.folder.keys if key.split == split],
        )
        for split in splits
    ]


def make_text_row(run: TextRun, key: MetricKey, label: str | None = None) -> Row:
    """Gather one key from all models."""
    estimates = [run.folder.estimate(model, key) for model in run.folder.models]
    difference = run.folder.difference(key)
    counted = next((e for e in reversed(estimates) if e is not None and e.n is not None), Estimate())
    label = label or text_name(key).label + cell_words(run, key)
    change = text_change(key, estimates[0], estimates[-1], difference)
    return Row(key, label, estimates, difference, change, counted.n, None, None)


def cell_words(run: TextRun, key: MetricKey) -> str:
    parts = [key.attribute if key.attribute != run.folder.attribute else None, key.group]
    return "".join(f", {part}" for part in parts if part)


def text_change(key: MetricKey, before: Estimate | None, after: Estimate | None, difference: Estimate | None) -> str | None:
    """Whether a paired interval says better, worse, or neither.

    A figure whose best value lies in the middle (an effect size at 0) is better when it came nearer to it without
    crossing; one that crossed is `turned`.

    Returns:
        `better`, `worse`, `turned`, `changed` (no better side is known), `unclear`, or None without an interval.

    >>> key = MetricKey("seat6_mean", "effect_size", "gender")
    >>> text_change(key, Estimate(0.9), Estimate(0.4), Estimate(-0.5, -0.7, -0.3))
    'better'
    >>> text_change(key, Estimate(0.9), Estimate(-0.4), Estimate(-1.3, -1.5, -1.1))
    'turned'
    """
    if difference is None or not difference.defined or not difference.has_interval:
        return None
    if difference.low <= 0 <= difference.high:
        return "unclear"
    if key.metric in NEUTRAL and before is not None and after is not None:
        neutral = NEUTRAL[key.metric][-1 if max(before.value, after.value) > 1 else 0]
        was, now = before.value - neutral, after.value - neutral
        if was * now < 0:
            return "turned"
        return "better" if abs(now) < abs(was) else "worse"
    direction = text_name(key).direction
    if direction == 0:
        return "changed"
    return "better" if (difference.low > 0) == (direction > 0) else "worse"


def digits_of(row: Row) -> int:
    """Digits that suit all figures of a row: 3 around 1, fewer for large ones, more for tiny ones.

    >>> digits_of(Row(MetricKey("a", "b"), "", [Estimate(56.1), Estimate(48.0)], None, None, None, None, None))
    2
    >>> digits_of(Row(MetricKey("a", "b"), "", [Estimate(0.00021)], None, None, None, None, None))
    6
    """
    largest = max((abs(e.value) for e in row.estimates if e is not None and e.defined), default=1.0)
    if largest >= 10:
        return 2 if largest < 100 else 1
    return 3 if largest >= 0.01 or largest == 0 else min(2 - math.floor(math.log10(largest)), 9)


def value_words(estimate: Estimate | None, digits: int = 3) -> str:
    return "–" if estimate is None else number(estimate.value, digits)
