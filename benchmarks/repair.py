"""Repair alone: the backbone's features once a view, instead of a forward of the backbone in every epoch."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import Measured, Row, Stopwatch, alternate, compare, in_child, require
from whole import set_up
from workload import Options, Workload, make_workload

HEAD = 1e-3  # largest distance of the heads' updates, relative to the update


def rows(options: Options) -> list[Row]:
    workload = make_workload(options, options.images, options.image_size, options.epochs)
    folder, cache = options.folder / "repair", options.folder / "pixels"

    def textbook(decoder: str) -> Any:
        return lambda watch: repair_textbook(workload, decoder, folder, cache, watch)

    def ours(watch: Stopwatch) -> tuple[np.ndarray, np.ndarray]:
        with tempfile.TemporaryDirectory(dir=options.folder) as run:  # an empty store, so that nothing is reused
            return repair_ours(workload, Path(run), cache, watch)

    in_child(lambda watch: _open(workload, folder, cache, watch) and None)  # decodes: this is in no figure here
    names = {"project": "decoding in every epoch", "memory": "pixels in memory"}
    found = alternate({**{name: textbook(name) for name in names}, "ours": ours}, options.repeats)
    lines = []
    for name, label in names.items():
        check = require("updates of the head", updates_apart(found[name][0], found["ours"][0]), HEAD)
        work = f"repair, {options.images:,} images, {options.image_size} px; textbook with {label}"
        target = 5.0 if name == "project" else None
        lines.append(compare(work, found[name], found["ours"], target, check, options.full_epochs))
    return lines


def repair_textbook(
    workload: Workload, decoder: str, folder: Path, cache: Path, watch: Stopwatch
) -> tuple[np.ndarray, np.ndarray]:
    from textbook import Textbook

    torch.set_num_threads(1)
    pixels = _open(workload, folder, cache, watch).context.data.store.images if decoder == "memory" else None
    way = Textbook(workload, decoder, workload.config(folder), watch, pixels)
    before = _flat(dict(way.head.named_parameters()))
    watch.laps.clear()
    watch.start()
    way.repair()
    return before, _flat(dict(way.head.named_parameters()))


def repair_ours(workload: Workload, folder: Path, cache: Path, watch: Stopwatch) -> tuple[np.ndarray, np.ndarray]:
    from biasmask.models.image_classifier import head_of

    set_up()
    way = _open(workload, folder, cache, watch)
    head = head_of(way.state.network())[0]
    before = way.state.weights
    watch.laps.clear()
    watch.start()
    after = way.stage("repair").weights
    before, after = ({key: w[f"{head}.{key}"] for key in ("weight", "bias")} for w in (before, after))
    return _flat(before), _flat(after)


def updates_apart(textbook: Measured, ours: Measured) -> float:
    (start, theirs), (_, mine) = textbook.value, ours.value
    return float(np.linalg.norm(mine - theirs) / np.linalg.norm(theirs - start))


def _open(workload: Workload, folder: Path, cache: Path, watch: Stopwatch) -> Any:
    from ours import Ours

    return Ours(workload, folder, watch, cache)


def _flat(named: dict[str, Any]) -> np.ndarray:
    return np.concatenate([tensor.detach().numpy().ravel() for _, tensor in sorted(named.items())]).astype(np.float64)
