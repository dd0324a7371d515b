"""A comparison of runs as tables of texts: what stands in each cell, whatever the format."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from biasmask.report.formats import count, duration, interval, number, signed

Content = dict[str, Any]
NONE = "–"
VALIDATION = ("auroc", "auroc_worst_group", "equalized_odds_mean", "equalized_odds_max", "balanced_accuracy")
BUDGET = ("epochs (done / allowed)", "seconds", "entries edited", "needs the attribute", "collapsed", "groups levelled down")


@dataclass(frozen=True)
class TextTable:
    """A heading, column names and rows; the first column names the method."""

    title: str
    header: list[str]
    rows: list[list[str]]


def figure_table(comparison: Content, test_set: Content) -> TextTable:
    """Mean ± standard deviation over runs, and the interval, of each figure and method."""
    header = ["", "runs", *(metric["label"] for metric in test_set["metrics"])]
    rows = [
        [name_of(row, test_set), runs_of(row), *(figure_text(figure(test_set, row, m["key"])) for m in test_set["metrics"])]
        for row in rows_of(comparison, test_set)
    ]
    return TextTable("Figures", header, rows)


def difference_table(comparison: Content, test_set: Content, which: str) -> TextTable:
    """Paired differences to the base model, the reference or each row's control: interval, p, wins and losses."""
    keys = [metric for metric in test_set["metrics"] if metric["key"] in compared_of(test_set)]
    header = ["", "splits" if comparison.get("clusters") else "runs"]
    for metric in keys:
        header += [f"change of {metric['label']}", "p (Holm)", "wins : losses"]
    rows = []
    for row in rows_of(comparison, test_set):
        found = [figure(test_set, row, metric["key"]).get(which) for metric in keys]
        if any(found):
            against = f" against {label_of(comparison, row['control'])}" if which == "vs_control" else ""
            name = name_of(row, None if against else test_set) + against
            shared = str(count_of(next(difference for difference in found if difference)))
            rows.append([name, shared, *(cell for difference in found for cell in difference_cells(difference))])
    titles = {
        "vs_base": "Against the base model, run by run",
        "vs_reference": f"Against {label_of(comparison, comparison['reference'])}, run by run",
        "vs_control": "Ours against the same at random places, run by run",
    }
    return TextTable(titles[which], header, rows)


def count_of(difference: Content) -> int | None:
    """What interval and p rest on: splits where there are several, else runs."""
    clusters = difference.get("n_clusters")
    return difference["n_runs"] if clusters is None else clusters  # type: ignore[no-any-return]


def budget_table(comparison: Content) -> TextTable:
    """What each method used and how its runs ended."""
    rows = []
    for row in comparison["rows"]:
        if row["role"] == "base":
            continue
        needs = "yes" if row["needs_attribute"] else "no"
        ended = [f"{row['collapsed']} of {row['n_runs']}", ", ".join(str(number) for number in row["levelling_down"])]
        rows.append([name_of(row), runs_of(row), epochs_of(row), seconds_of(row), edited_of(row), needs, *ended])
    return TextTable("Budget and failures", ["", "runs", *BUDGET], rows)


def epochs_of(row: Content) -> str:
    """Mean epochs over runs; with those that were allowed, where they differ; `none` for a method that counts none.

    >>> epochs_of({"epochs": 12.5, "epochs_allowed": 20}), epochs_of({"epochs": 20}), epochs_of({"epochs": None})
    ('12.5 / 20', '20', 'none')
    """
    done, allowed = row.get("epochs"), row.get("epochs_allowed")
    if done is None:
        return "none"
    text = count(done) if done == int(done) else number(done, 1)
    return text if allowed in (None, done) else f"{text} / {count(allowed)}"


def selection_table(selection: Content) -> TextTable:
    """All candidates of a method with their validation figures, and which one was chosen."""
    known = {key for candidate in selection["candidates"] for key in candidate["figures"]}
    keys = [key for key in VALIDATION if key in known]
    rows = []
    for candidate in selection["candidates"]:
        values = [value_text(candidate["figures"].get(key)) for key in keys]
        name, chosen = candidate["setting"] or selection["label"], "chosen" if candidate["chosen"] else candidate["refused"] or ""
        rows.append([name, str(candidate["n_runs"]), *values, str(candidate["collapsed"]), chosen])
    rows.insert(0, ["base model", "", *(value_text(selection["base"].get(key)) for key in keys), "", ""])
    title = f"{selection['label']}{units_words(selection)}: chosen on validation rows by {selection['rule']}"
    return TextTable(title, ["", "runs", *(key.replace("_", " ") for key in keys), "collapsed", ""], rows)


def units_words(selection: Content) -> str:
    """The run that a choice is for, where it isn't for all."""
    units = selection["units"]
    if len(units) != 1:
        return ""
    split = units[0].get("split_seed")
    return f", seed {units[0]['seed']}" + ("" if split is None else f", split {split}")


def rows_of(comparison: Content, test_set: Content) -> list[Content]:
    """Rows in the order of a test set."""
    known = {row["id"]: row for row in comparison["rows"]}
    return [known[row] for row in test_set["order"]]


def figure(test_set: Content, row: Content, key: str) -> Content:
    found: Content = test_set["figures"].get(row["id"], {}).get(key, {})
    return found


def compared_of(test_set: Content) -> list[str]:
    """The figures whose differences stand in the tables; a file of an earlier version doesn't name them."""
    worst = [metric["key"] for metric in test_set["metrics"] if "worst_group" in metric["key"]]
    return list(test_set.get("compared") or [test_set["gap"], test_set["quality"], *worst])


def name_of(row: Content, test_set: Content | None = None) -> str:
    """A method's label and setting, and what to know before it is read: failures, missing runs, † for dominated."""
    words = ", ".join(part for part in (row["label"], row["setting"]) if part)
    marks = [f"collapsed: {row['collapsed']} of {row['n_runs']}"] if row["collapsed"] else []
    if 0 < row.get("kept_base", 0) < row["n_runs"]:  # where it is all of them, the setting says so
        marks.append(f"kept the base model: {row['kept_base']} of {row['n_runs']}")
    if row["missing"]:
        marks.append(f"{row['n_runs']} of {row['n_units']} runs")
    if row["needs_attribute"]:
        marks.append("needs the attribute")
    dagger = " †" if test_set is not None and row["id"] in test_set["dominated"] else ""
    return words + (f" ({'; '.join(marks)})" if marks else "") + dagger


def label_of(comparison: Content, row: str | None) -> str:
    return next((name_of(own) for own in comparison["rows"] if own["id"] == row), str(row))


def runs_of(row: Content) -> str:
    return str(row["n_runs"])


def figure_text(found: Content) -> str:
    """Mean ± spread (interval); what is undefined says so.

    >>> figure_text({"mean": 0.5, "spread": 0.25, "low": 0.25, "high": 0.75})
    '0.500 ± 0.250 (0.250 to 0.750)'
    """
    if not found:
        return NONE
    bounds = interval(nan(found["low"]), nan(found["high"]))
    spread = "" if found["spread"] is None else f" ± {number(found['spread'])}"
    return value_text(found["mean"]) + spread + (f" ({bounds})" if bounds else "")


def difference_cells(difference: Content | None) -> list[str]:
    """Change (interval), p (Holm), wins : losses."""
    if difference is None:
        return [NONE, NONE, NONE]
    bounds = interval(nan(difference["low"]), nan(difference["high"]), plus=True)
    change = signed(nan(difference["value"])) + (f" ({bounds})" if bounds else "")
    return [change, p_text(difference), score_text(difference)]


def p_text(difference: Content) -> str:
    """p of the sign-flip test, Holm's in brackets.

    >>> p_text({"p": 0.25, "p_holm": 0.5}), p_text({"p": None, "p_holm": None})
    ('0.25 (0.5)', '–')
    """
    if difference["p"] is None:
        return NONE
    holm = "" if difference["p_holm"] is None else f" ({difference['p_holm']:.2g})"
    return f"{difference['p']:.2g}{holm}"


def score_text(difference: Content) -> str:
    return NONE if difference["wins"] is None else f"{difference['wins']} : {difference['losses']}"


def value_text(value: float | None) -> str:
    return number(nan(value))


def nan(value: float | None) -> float:
    return math.nan if value is None else value


def seconds_of(row: Content) -> str:
    """Mean time of a run's stages; * where some came from the store, with the time that they took when they were made."""
    return duration(row["seconds"]) + ("*" if row["reused"] else "")


def edited_of(row: Content) -> str:
    return count(row["edited"]) + (f" of {count(row['parameters'])}" if row["parameters"] else "")


def notes_of(comparison: Content, test_set: Content, confidence: float) -> list[str]:
    """How to read the tables of a test set."""
    level = f"{100 * confidence:.0f} %"
    drawn = clusters_words(comparison)
    kind = f"test rows and {drawn} drawn anew" if test_set["interval"] == "bootstrap" else f"Student's, over {drawn} alone"
    n, one, what = len(comparison["units"]), "one run: no p", "runs"
    if clusters := comparison.get("clusters"):
        n, what = clusters["n"], f"{clusters['name']}s"
    least = f"the smallest p that {n} {what} can give is {2 ** (1 - n):.2g}" if n > 1 else one
    test = f"p: exact sign-flip test over {what}; {least}."
    lines = [f"± is the standard deviation over runs; intervals are {level}, {kind}. {test}"]
    if clusters:
        lines.append("Runs of one split are no independent ones: splits are what is counted, and even they share rows.")
    if test_set["dominated"]:
        lines.append("† another row without a collapse is at least as good in gap and in quality, and better in one.")
    if any(row["collapsed"] for row in comparison["rows"]):
        lines.append(
            "A run that collapsed to a constant predictor is a failure: it counts as a loss, its method is never ranked first."
        )
        if "places" in test_set:
            lines.append("Its method has no p in figures of which less is better, and doesn't count in Holm's correction there.")
    if any(row["missing"] for row in comparison["rows"]) and "places" in test_set:
        lines.append("A method without some of the runs is ordered by the base model's mean plus its paired difference.")
    return lines


def clusters_words(comparison: Mapping[str, Any]) -> str:
    """What is drawn anew beside test rows."""
    return "splits with their runs" if comparison.get("clusters") else "runs"
