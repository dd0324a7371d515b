"""One paragraph in plain words on what a text run did to the association, and in the same breath what it cost."""

from collections.abc import Callable
from dataclasses import dataclass, field

from biasmask.report.formats import count, interval, number, percent, signed
from biasmask.report.run_folder import Estimate, MetricKey
from biasmask.report.text_folder import TextRun, pooling_words, seat_of
from biasmask.report.text_tables import seat_sections, text_change

LARGEST_PROBE_LOSS = 0.05  # of accuracy: an encoder that lost more no longer holds what it held
SMALLEST_COSINE = 0.5
PROBE = MetricKey("probe", "accuracy")


@dataclass(frozen=True)
class TextVerdict:
    """State (`fell`, `unclear`, `rose`, `collapsed`, `nothing`, `undefined`, `single`), sentences, tests that got worse."""

    state: str
    headline: str
    cost: str = ""
    other_poolings: list[str] = field(default_factory=list)
    worse: list[str] = field(default_factory=list)

    @property
    def sentence(self) -> str:
        listed = "; ".join(self.worse[:2]) + (f"; and {len(self.worse) - 2} more" if len(self.worse) > 2 else "")
        worse = f"Further from 0: {listed}." if listed else ""
        return " ".join(part for part in (self.headline, self.cost, worse) if part)


def judge_text(run: TextRun) -> TextVerdict:
    """Say in words what the paired intervals show.

    The association fell or rose when the interval of the paired difference of the mean |d| leaves out zero. An encoder whose
    probe accuracy fell by more than 5 points, or whose cosine to the original is below 0.5, has collapsed, whatever its mean
    |d|. Where scores were trained and no block fell, nothing was pruned, and that comes before all else.

    Args:
        run: The folder to judge.

    Returns:
        The verdict; state `undefined` where the mean |d| has no value, `single` where there is one encoder only.
    """
    if not run.folder.compares:
        return describe_single(run)
    state, headline = describe_mean(run, run.pooling)
    others = [describe_mean(run, pooling)[1] for pooling in run.poolings if pooling != run.pooling]
    cost, worse = describe_cost(run), worse_tests(run)
    collapse = find_collapse(run)
    if run.nothing_pruned:
        nothing = nothing_words(run)
        if not run.changed:
            return TextVerdict("nothing", f"{nothing}, and the encoder is the original one.")
        nothing += ", so no place was found." + (" What changed came from training the weights." if run.weights_changed else "")
        extra = f" The encoder collapsed: {collapse}." if collapse else ""
        return TextVerdict("nothing", f"{nothing}{extra} {headline}", cost, others, worse)
    if collapse:
        start = "The fall was bought by a collapsed encoder" if state == "fell" else "The encoder collapsed"
        text = f"{start}: {collapse}. {headline} That says nothing about bias."
        return TextVerdict("collapsed", text, cost, others, worse)
    return TextVerdict(state, headline, cost, others, worse)


def describe_mean(run: TextRun, pooling: str) -> tuple[str, str]:
    """State and sentence of the mean |d| with one pooling."""
    words = f"Mean |d| over the SEAT tests ({pooling_words(pooling)})"
    key = run.mean_key(pooling)
    if key is None:
        return "undefined", f"{words} was not computed."
    folder = run.folder
    before, after, difference = folder.estimate(folder.base, key), folder.estimate(folder.final, key), folder.difference(key)
    undefined = next((e for e in (after, before, difference) if e is not None and not e.defined), None)
    if undefined is not None or before is None or after is None or difference is None:
        reason = undefined.reason if undefined is not None and undefined.reason else "no paired difference is stored"
        return "undefined", f"{words} can't be compared: {reason}."
    path = f"from {number(before.value)} to {number(after.value)}"
    shown = f"difference {signed(difference.value)}{bounds(run, difference, signed)}"
    caution = f" ({after.reason})" if after.reason else ""
    change = text_change(key, before, after, difference)
    if change == "better":
        return "fell", f"{words} fell {path} ({shown}){caution}."
    if change == "worse":
        return "rose", f"{words} rose {path} ({shown}){caution}."
    why = "no interval is stored" if change is None else "not distinguishable from no change"
    return "unclear", f"{words} went {path} ({shown}){caution}: {why}."


def bounds(run: TextRun, estimate: Estimate, write: Callable[[float], str]) -> str:
    if not estimate.has_interval:
        return ""
    return f", {percent(run.folder.confidence, 0)} interval {write(estimate.low)} to {write(estimate.high)}"


def describe_cost(run: TextRun) -> str:
    """Probe accuracy and cosine to the original in one sentence; what was not measured is said."""
    return f"What was kept: {'; '.join(text for text in (describe_probe(run), describe_cosine(run)) if text)}."


def describe_probe(run: TextRun) -> str:
    folder = run.folder
    before, after = folder.estimate(folder.base, PROBE), folder.estimate(folder.final, PROBE)
    missing = next((e for e in (before, after) if e is None or not e.defined), after)
    if before is None or after is None or missing is None or not missing.defined:
        reason = f" ({missing.reason})" if missing is not None and missing.reason else ""
        return f"no probe accuracy{reason}"
    difference = folder.difference(PROBE)
    verb = {"better": "rose", "worse": "fell"}.get(text_change(PROBE, before, after, difference) or "", "went")
    shown = f"{points(after.value - before.value)} points"
    if difference is not None and difference.defined:
        shown = f"{points(difference.value)} points{bounds(run, difference, points)}"
    return f"probe accuracy {verb} from {number(before.value)} to {number(after.value)} ({shown})"


def describe_cosine(run: TextRun) -> str:
    cosine = run.cosine()
    if cosine is None or not cosine.defined:
        reason = f" ({cosine.reason})" if cosine is not None and cosine.reason else ""
        return f"no cosine to the original{reason}"
    return f"cosine to the original {number(cosine.value)}"


def points(share: float) -> str:
    """A difference of two shares in per cent points.

    >>> points(0.0123), points(0.0)
    ('+1.2', '0.0')
    """
    return signed(100 * share, 1)


def find_collapse(run: TextRun) -> str:
    """Why the final encoder counts as collapsed; empty when it doesn't."""
    folder = run.folder
    before, after, cosine = folder.estimate(folder.base, PROBE), folder.estimate(folder.final, PROBE), run.cosine()
    found = []
    if before is not None and after is not None and before.value - after.value > LARGEST_PROBE_LOSS + 1e-9:
        found.append(f"probe accuracy fell by {number(100 * (before.value - after.value), 1)} points")
    if cosine is not None and cosine.value < SMALLEST_COSINE:
        found.append(f"the cosine to the original is {number(cosine.value)}")
    if (run.blocks or {}).get("kept") == 0:
        found.append("every block is pruned")
    told = str(folder.run.get("collapsed") or "")
    return ", and ".join(found) if found or not told else told


def worse_tests(run: TextRun) -> list[str]:
    """The tests of the verdict's pooling whose effect size went further from 0."""
    found = []
    for section in seat_sections(run):
        for row in section.rows:
            before, after, seat = row.estimates[0], row.estimates[-1], seat_of(row.key.split)
            if row.change != "worse" or row.key.metric != "effect_size" or not seat or seat[1] != run.pooling:
                continue
            if before is not None and after is not None and row.difference is not None:
                shown = f"{signed(row.difference.value)}, {interval(row.difference.low, row.difference.high, plus=True)}"
                found.append(f"{row.label} ({number(before.value)} to {number(after.value)}; {shown})")
    return found


def nothing_words(run: TextRun) -> str:
    return f"Nothing was pruned: all {count((run.blocks or {}).get('total'))} blocks are kept"


def describe_single(run: TextRun) -> TextVerdict:
    folder = run.folder
    parts = [f"{nothing_words(run)}."] if run.nothing_pruned else []
    parts.append(f"One encoder, no comparison: {folder.final}.")
    for pooling in run.poolings:
        key = run.mean_key(pooling)
        estimate = folder.estimate(folder.final, key) if key else None
        if estimate is not None:
            parts.append(f"Mean |d| over the SEAT tests ({pooling_words(pooling)}) {value_with_interval(estimate)}.")
    probe = folder.estimate(folder.final, PROBE)
    if probe is not None:
        parts.append(f"Probe accuracy {value_with_interval(probe)}.")
    return TextVerdict("nothing" if run.nothing_pruned else "single", " ".join(parts))


def value_with_interval(estimate: Estimate) -> str:
    if not estimate.defined:
        return f"undefined ({estimate.reason or 'no reason stored'})"
    shown = interval(estimate.low, estimate.high)
    return number(estimate.value) + (f" ({shown})" if shown else "")
