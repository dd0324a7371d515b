"""The data path of one epoch: normalised float batches from the debias split, in the order of a run."""

from typing import Any

import torch
from measure import EPOCH, Row, Stopwatch, alternate, compare, require
from whole import set_up
from workload import SEED, Options, make_workload

EPOCHS = 4  # of ours: the first decodes, the others are measured


def rows(options: Options) -> list[Row]:
    workload = make_workload(options, options.images, options.image_size, 1)
    folder = options.folder / "data_path"

    def textbook(decoder: str) -> Any:
        def way(watch: Stopwatch) -> torch.Tensor:
            from textbook import GroupTargetBatches, Textbook

            torch.set_num_threads(1)
            made = Textbook(workload, decoder, workload.config(folder), watch)
            loader, _ = made.debias_loader(GroupTargetBatches, 64)
            watch.start()
            first = [images for images, _, _ in loader][0]
            watch.lap("data:" + EPOCH)
            return first.numpy()

        return way

    def ours(watch: Stopwatch) -> torch.Tensor:
        from ours import Ours

        set_up()
        made = Ours(workload, folder, watch, options.folder / "pixels")
        context, module = made.context, made.state.classifier()
        loader = context.data.loader(context.data.rows("debias"), "group_target", 64, SEED, attribute=context.attribute)
        first = None
        for epoch in range(EPOCHS):
            watch.start()
            for batch in loader:
                images = module.normalized(batch["image"])
                first = images if first is None else first
            watch.lap("data:" + EPOCH if epoch else "first epoch")
        return first.contiguous().numpy()  # type: ignore[union-attr]

    names = {"torchvision": "PIL + torchvision", "project": "our decoder, item by item"}
    found = alternate({**{name: textbook(name) for name in names}, "ours": ours}, options.repeats)
    lines = []
    for name, label in names.items():
        apart = float(abs(found[name][0].value - found["ours"][0].value).max())
        check = require("pixels apart, normalised", apart, 1e-6) if name == "project" else ""
        count = options.images * 3 // 5
        work = f"data path of an epoch after the first, {count:,} images, {options.image_size} px; textbook decodes by {label}"
        lines.append(compare(work, found[name], found["ours"], 10.0, check, only="data"))
    return lines
