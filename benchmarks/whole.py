"""Locate, impair and repair from the JPEGs on, with the settings of experiment=bmft: the whole of what debiasing costs."""

import shutil
from pathlib import Path
from typing import Any

import torch
from measure import Measured, Row, Stopwatch, alternate, compare, in_child, require
from torch import Tensor
from workload import Options, Workload, make_workload

# How far both ways may be apart, relative to the size of each number. They go through other convolution kernels (memory format)
# and add up in another precision; a ReLU6 whose input rounds to the other side of 0 then passes another gradient. float32 itself
# lies as far from float64: 1.7e-2 in the importances of a quick run; 3.8e-2 in the weights after ten steps of impair at 64 px,
# where both ways are 2.9e-2 apart. Each step passes it on, so the tolerance of the updates is for one epoch.
IMPORTANCE, MASK, THRESHOLD, UPDATES, SCORES = 5e-2, 1e-3, 1e-2, 0.15, 1e-2


def walk_textbook(workload: Workload, decoder: str, result: Path, watch: Stopwatch) -> None:
    from textbook import Textbook

    torch.set_num_threads(1)
    config = workload.config(result.parent)
    watch.start()
    way = Textbook(workload, decoder, config, watch)
    watch.lap("open")
    found = way.locate()
    way.impair(found["mask"])
    impaired = copied(way.net)
    watch.start()
    way.repair()
    torch.save({**found, "impaired": impaired, "final": copied(way.net)}, result)


def walk_ours(workload: Workload, folder: Path, result: Path, watch: Stopwatch) -> None:
    from ours import Ours

    set_up()
    shutil.rmtree(folder, ignore_errors=True)
    way = Ours(workload, folder, watch)
    located = way.stage("locate")
    impaired = way.stage("impair").weights
    final = way.stage("repair").weights
    about = {"mask": located.mask, "threshold": located.mask_info["threshold"]}  # type: ignore[index]
    torch.save({**way.importances(), **about, "impaired": impaired, "final": final}, result)


def set_up() -> None:
    """One thread, and the other settings that a run makes for itself."""
    from biasmask.pipeline.setup import set_threads

    set_threads(1, sweep=False)


def copied(net: torch.nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in net.state_dict().items()}


def agreement(workload: Workload, textbook: Path, ours: Path, folder: Path) -> list[str]:
    """What came out of both ways, held against each other."""
    from biasmask.models.image_classifier import create_network, head_of

    theirs, mine = (torch.load(path, weights_only=True) for path in (textbook, ours))
    head_name = head_of(create_network(workload.config(folder).model.backbone))[0]
    start = torch.load(workload.checkpoint, weights_only=True)
    checks = []
    for kind in ("bias", "task"):
        apart = [float((mine[kind][n] - t).norm() / t.norm()) for n, t in theirs[kind].items() if t.any()]
        checks.append(require(f"{kind} importance, worst tensor", max(apart), IMPORTANCE))
    checks.append(require("threshold", abs(mine["threshold"] / theirs["threshold"] - 1), THRESHOLD))
    differ = sum(int((mine["mask"][n] != m).sum()) for n, m in theirs["mask"].items())
    checks.append(require("mask entries that differ", differ / sum(m.numel() for m in theirs["mask"].values()), MASK))
    same = {name: mine["mask"][name] == mask for name, mask in theirs["mask"].items()}  # the others were counted above
    head = {name: torch.ones_like(start[name], dtype=torch.bool) for name in start if name.startswith(head_name)}
    for what, label, where in (("backbone", "impaired", same), ("head", "final", head)):
        moved = torch.cat([(theirs[label][n] - start[n])[at].double() for n, at in where.items()])
        apart = torch.cat([(mine[label][n] - theirs[label][n])[at].double() for n, at in where.items()])
        checks.append(require(f"updates of the {what}", float(apart.norm() / moved.norm()), UPDATES * workload.epochs))
    measured = in_child(lambda _watch: _scores_apart(workload, theirs["final"], mine["final"], folder))
    checks.append(require("scores", measured.value, SCORES))
    return checks


def _scores_apart(workload: Workload, theirs: dict[str, Tensor], mine: dict[str, Tensor], folder: Path) -> float:
    from textbook import Textbook

    way = Textbook(workload, "project", workload.config(folder), Stopwatch())
    scores = []
    for weights in (theirs, mine):
        way.net.load_state_dict(weights)
        with torch.no_grad():
            scores.append(torch.cat([torch.sigmoid(way.net(images)[:, 0]) for images, _, _ in way.val_loader()]))
    return float((scores[0] - scores[1]).abs().max())


def lines(options: Options, workload: Workload, decoders: list[str], images: int, main: bool, repeats: int) -> list[Row]:
    """The whole of one image size: a line for each way of decoding, and (for the main size) a line for each step."""
    folder = options.folder / f"whole_{workload.image_size}"
    folder.mkdir(exist_ok=True)
    ways: dict[str, Any] = {
        decoder: lambda watch, decoder=decoder: walk_textbook(workload, decoder, folder / f"{decoder}.pt", watch)
        for decoder in decoders
    }
    ways["ours"] = lambda watch: walk_ours(workload, folder / "run", folder / "ours.pt", watch)
    found = alternate(ways, repeats)
    checks = agreement(workload, folder / "project.pt", folder / "ours.pt", folder)
    epochs, ours = options.full_epochs, found["ours"]
    what = f"locate + impair + repair, {images:,} images, {workload.image_size} px"
    rows = []
    for decoder in decoders:
        plain = decoder == "torchvision"
        work = f"{what}; textbook decodes by {'PIL + torchvision' if plain else 'our decoder, item by item'}"
        check = "" if plain else "; ".join(checks)
        rows.append(compare(work, found[decoder], ours, 4.0 if main and plain else None, check, epochs))
    if main:
        rows += steps(found[decoders[0]], ours, epochs)
    return rows


def steps(textbook: list[Measured], ours: list[Measured], epochs: int) -> list[Row]:
    """Where the time goes: the same runs, step by step."""
    return [
        compare(f"– of it {name}", textbook, ours, None, "", epochs, only=name) for name in ("open", "locate", "impair", "repair")
    ]


def rows(options: Options) -> list[Row]:
    workload = make_workload(options, options.images, options.image_size, options.epochs)
    found = lines(options, workload, ["torchvision", "project"], options.images, True, max(1, options.repeats // 3))
    for size in options.sizes:
        few = options.images // 10
        other = make_workload(options, few, size, 1)
        found += lines(options, other, ["torchvision", "project"], few, False, 1)
    return found
