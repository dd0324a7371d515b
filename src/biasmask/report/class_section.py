"""The part of the report for more than two classes: gaps class by class, then each class against the rest."""

from dataclasses import dataclass

from biasmask.report.plot_intervals import StripPlot, test_set_plot
from biasmask.report.plot_scores import RocFigure, roc_figure
from biasmask.report.run_folder import RunFolder
from biasmask.report.tables import Section, compare, make_row
from biasmask.report.verdict import Verdict, find_gap, judge


@dataclass(frozen=True)
class ClassView:
    """One class against the rest on one test set: the verdict of each debiased attribute, figures and ROC curves."""

    test_set: str
    name: str
    verdicts: list[tuple[str, Verdict]]
    sections: list[Section]
    rocs: list[RocFigure]


@dataclass(frozen=True)
class ClassGaps:
    """The verdict's gap of every class, by one attribute on one test set."""

    test_set: str
    attribute: str
    plot: StripPlot


def class_views(run: RunFolder) -> list[ClassView]:
    """A view of each class on each test set, in the order of the file; none where there are two classes.

    Attributes that weren't debiased are left to metrics.csv: with many classes they would bury the others.
    """
    views = []
    for test_set in run.test_sets:
        for key, name in run.class_sets(test_set):
            verdicts = [(attribute, judge(run, key, attribute)) for attribute in run.debiased]
            shown = [part for part in compare(run, key) if part.rows[0].key.attribute in (None, *run.debiased)]
            rocs = [figure for attribute in run.debiased if (figure := roc_figure(run, key, attribute))]
            views.append(ClassView(test_set, name, verdicts, shown, rocs))
    return views


def class_gaps(run: RunFolder) -> list[ClassGaps]:
    """For each test set and debiased attribute the gap of every class; none where there are two classes."""
    found = []
    for test_set in run.test_sets:
        for attribute in run.debiased:
            named = [(name, find_gap(run, key, attribute)) for key, name in run.class_sets(test_set)]
            rows = [(name, make_row(run, gap)) for name, gap in named if gap is not None]
            if rows:
                found.append(ClassGaps(test_set, attribute, test_set_plot(run, rows)))
    return found
