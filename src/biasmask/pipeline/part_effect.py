"""What the change of one part of the network does alone: base weights and the run's change there, judged without training.

A run's change is the bits by which base and debiased model differ, running statistics of norm layers included. For each part
two models are made: `only` (the change lies in the part alone) and `without` (everywhere else). Beside them stand models with
as many changed entries drawn at random from all that the run changed.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from biasmask.errors import MethodError
from biasmask.files import write_json
from biasmask.methods.part_delta import changed_names, choose, label_entries, random_choice
from biasmask.methods.weight_delta import apply_delta, weight_delta
from biasmask.models.network_parts import Region, network_regions, shared_names
from biasmask.report.bias_map import part_of

EFFECT_FILE = "part_effect.json"
REST = "all other parts"
Weights = dict[str, Tensor]
Figures = dict[str, dict[str, Any]]


class PartJudge(Protocol):
    """What judges a model of these weights: of images by groups, of an encoder by its associations."""

    def figures(self, weights: Weights, label: str, intervals: bool) -> tuple[Figures, Figures]:
        """Figures of a model, and their differences from the base model; each key -> value, low, high, n, reason."""

    def facts(self) -> dict[str, Any]:
        """Split, thresholds and the names of the figures, for the file."""


@dataclass
class Change:
    """The change between two models, cut into parts.

    Args:
        base: the weights before.
        delta: what differs, without second names of shared tensors.
        labels: (N,) int64, the part of each entry of the delta.
        names: of the parts, in the order of the network.
        parameters: entries of each part.
        shared: second name of a tensor -> its first.
    """

    base: Weights
    delta: dict[str, Tensor]
    labels: Tensor
    names: list[str]
    parameters: list[int]
    shared: dict[str, str] = field(default_factory=dict)

    @classmethod
    def between(cls, net: nn.Module, base: Weights, debiased: Weights, by: str) -> "Change":
        """Cut the change between two state dicts of a network.

        Args:
            by: `layer`, `block`, `head` or `kind`, see `report.bias_map.part_of`.
        Raises:
            MethodError: nothing differs.
        """
        shared = shared_names(net)
        delta = weight_delta(*({n: t for n, t in weights.items() if n not in shared} for weights in (base, debiased)))
        if not delta:
            raise MethodError("base and debiased model have the same weights: there is no change whose parts could be looked at")
        regions: dict[str, list[Region]] = {}
        parts: dict[str, int] = {}
        for region in network_regions(net):
            name = part_of({"layer": region.layer, "block": region.block, "head": region.head, "kind": region.kind}, by)
            parts[name] = parts.get(name, 0) + region.of(base[region.tensor]).numel()
            regions.setdefault(region.tensor, []).append(region)
        place = {name: i for i, name in enumerate(parts)}
        labels = [
            label_entries(
                delta[f"{name}:index"],
                base[name].shape,
                [(region.axis, region.start, region.stop) for region in regions[name]],
                [place[part_of(vars(region), by)] for region in regions[name]],
            )
            for name in changed_names(delta)
        ]
        return cls(base, delta, torch.cat(labels), list(parts), list(parts.values()), shared)

    def joined(self, most: int) -> "Change":
        """The same change with at most so many parts that changed: those that changed least become one."""
        counts = torch.bincount(self.labels, minlength=len(self.names))
        if int((counts > 0).sum()) <= most:
            return self
        kept = sorted(counts.argsort(descending=True, stable=True)[: most - 1].tolist())
        place = torch.full_like(counts, len(kept))
        place[kept] = torch.arange(len(kept))
        rest = sum(self.parameters) - sum(self.parameters[i] for i in kept)
        names, parameters = [self.names[i] for i in kept], [self.parameters[i] for i in kept]
        return Change(self.base, self.delta, place[self.labels], [*names, REST], [*parameters, rest], self.shared)

    @property
    def counts(self) -> dict[str, int]:
        """Changed entries of each part."""
        counts = torch.bincount(self.labels, minlength=len(self.names)).tolist()
        return dict(zip(self.names, counts, strict=True))

    def model(self, chosen: Tensor) -> Weights:
        """Base weights and the chosen entries of the change: (N,) bool."""
        made = apply_delta(self.base, choose(self.delta, chosen))
        return {**made, **{second: made[first] for second, first in self.shared.items()}}


def measure_parts(
    change: Change, judge: PartJudge, draws: int, seed: int, progress: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """The content of `part_effect.json`: figures of the whole change, of each part alone, of all but it, and of random entries.

    Args:
        change: cut into parts; a part without a changed entry is listed and not judged: its effect is 0.
        judge: makes figures of weights.
        draws: random choices for each part, each alone and left out; 0 = none.
        seed: of the draws.
        progress: called with (models judged, models to judge).
    """
    counts = change.counts
    total, judged = len(change.labels), sum(count > 0 for count in counts.values())
    whole = [name for name, count in counts.items() if count == total]
    todo = 2 + sum(2 + 2 * draws for name, count in counts.items() if count and name not in whole)
    done = 0

    def figures(chosen: Tensor, label: str, intervals: bool) -> tuple[Figures, Figures]:
        nonlocal done
        found = judge.figures(change.model(chosen), label, intervals)
        done += 1
        if progress is not None:
            progress(done, todo)
        return found

    base, _ = figures(torch.zeros(total, dtype=torch.bool), "base", True)
    final, effect = figures(torch.ones(total, dtype=torch.bool), "debiased", True)
    zero = {"value": 0.0, "low": 0.0, "high": 0.0, "reason": None}
    nothing = {key: {**entry, **zero} if base[key]["value"] is not None else base[key] for key, entry in effect.items()}
    parts = []
    for place, (name, count) in enumerate(counts.items()):
        entry: dict[str, Any] = {"part": name, "parameters": change.parameters[place], "changed": count}
        inside = change.labels == place
        if count in (0, total):  # the base and the debiased model themselves
            same, other = (base, final) if count == 0 else (final, base)
            only, without = (nothing, effect) if count == 0 else (effect, nothing)
            entry |= {"only": same, "only_effect": only, "without": other, "without_effect": without, "random": None}
        else:
            entry["only"], entry["only_effect"] = figures(inside, f"only {name}", True)
            entry["without"], entry["without_effect"] = figures(~inside, f"without {name}", True)
            random = [random_choice(total, count, seed + draw) for draw in range(draws)]
            drawn = {
                "only_effect": spread([figures(c, f"random {count:,} for {name}", False)[1] for c in random]),
                "without_effect": spread([figures(~c, f"without {count:,} at random", False)[1] for c in random]),
            }
            entry["random"] = drawn if random else None
        parts.append(entry)
    return {
        "schema": 1,
        **judge.facts(),
        "draws": draws,
        "seed": seed,
        "changed": total,
        "parts_changed": judged,
        "base": base,
        "debiased": final,
        "effect": effect,
        "parts": parts,
    }


def spread(draws: list[Figures]) -> dict[str, dict[str, Any]]:
    """Mean, lowest and highest value of each figure over the random choices, and the values; None where none is defined.

    >>> spread([{"g": {"value": 0.1}}, {"g": {"value": 0.3}}])["g"]["mean"]
    0.2
    """
    found = {}
    for key in draws[0] if draws else {}:
        values = [draw[key]["value"] for draw in draws]
        known = [value for value in values if value is not None]
        found[key] = {
            "mean": sum(known) / len(known) if known else None,
            "low": min(known, default=None),
            "high": max(known, default=None),
            "values": values,
        }
    return found


def write_part_effect(
    run_dir: Path | str,
    by: str = "block",
    split: str = "val",
    draws: int = 3,
    seed: int = 0,
    most: int = 20,
    out: Path | None = None,
    sentences: int = 200,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Judge the parts of a run's change and write `part_effect.json`.

    Args:
        run_dir: folder of a finished run with two models.
        by: `layer`, `block`, `head` or `kind`.
        split: rows of an image run; an encoder is judged by its held-out sentences and the association tests.
        draws: random choices for each part.
        seed: of the draws.
        most: parts to judge; those that changed least are taken together.
        out: folder of the file; None: the run's.
        sentences: held-out sentences of each kind that an encoder is judged by, at most.
        progress: called with (models judged, models to judge).
    Raises:
        CheckpointError: the run has no two models.
        MethodError: they don't differ.
    """
    from biasmask.pipeline.part_judges import open_part_judge

    path = Path(run_dir)
    base, debiased, judge = open_part_judge(path, split, sentences)
    change = Change.between(debiased.network(), base.weights, debiased.weights, by).joined(most)
    content = {"by": by, **measure_parts(change, judge, draws, seed, progress)}
    target = (out or path) / EFFECT_FILE
    write_json(target, content)
    return target
