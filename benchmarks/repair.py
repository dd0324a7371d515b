"""Repair alone: the backbone's features once a view, instead of a forward of the backbone in every epoch."""

from pathlib import Path
from typing import Any

import torch
from measure import Row, Stopwatch, alternate, compare, in_child, require
from whole import copied, set_up
from workload import Options, make_workload

HEAD = 1e-3  # largest relative distance of the repaired heads


def rows(options: Options) -> list[Row]:
    workload = make_workload(options, options.images, options.image_size, options.epochs)
    folder, cache = options.folder / "repair", options.folder / "pixels"

    def open_ours(watch: Stopwatch, run: Path) -> Any:
        from ours import Ours

        set_up()
        return Ours(workload, run, watch, cache)

    def textbook(decoder: str) -> Any:
        def way(watch: Stopwatch) -> dict[str, torch.Tensor]:
            from textbook import Textbook

            pixels = open_ours(watch, folder).context.data.store.images if decoder == "memory" else None
            set_up()
            made = Textbook(workload, decoder, workload.config(folder), watch, pixels)
            watch.laps.clear()
            watch.start()
            made.repair()
            return {name: tensor.numpy() for name, tensor in copied(made.head).items()}

        return way

    def ours(watch: Stopwatch) -> dict[str, torch.Tensor]:
        import tempfile

        with tempfile.TemporaryDirectory(dir=options.folder) as run:  # an empty store, so that nothing is reused
            made = open_ours(watch, Path(run))
            watch.laps.clear()
            watch.start()
            weights = made.stage("repair").weights
        return {name.rpartition(".")[2]: tensor.numpy() for name, tensor in list(weights.items())[-2:]}

    in_child(lambda watch: open_ours(watch, folder) and None)  # decodes: here the pixels of ours are there already
    names = {"project": "decoding in every epoch", "memory": "pixels in memory"}
    found = alternate({**{name: textbook(name) for name in names}, "ours": ours}, options.repeats)
    lines = []
    for name, label in names.items():
        theirs, mine = found[name][0].value, found["ours"][0].value
        norm = sum(float((value**2).sum()) for value in theirs.values()) ** 0.5
        apart = sum(float(((mine[key] - value) ** 2).sum()) for key, value in theirs.items()) ** 0.5
        check = require("repaired head apart", apart / norm, HEAD)
        work = f"repair, {options.images:,} images, {options.image_size} px; textbook with {label}"
        target = 5.0 if name == "project" else None
        lines.append(compare(work, found[name], found["ours"], target, check, options.full_epochs))
    return lines
