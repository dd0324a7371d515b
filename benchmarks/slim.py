"""What masks cost while their scores learn, and what they save once whole heads and neurons are taken out of the encoder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import Row, Stopwatch, alternate, compare, in_child, require
from text_epoch import BLOCK, Work, gradients, scores_at_start
from torch import nn
from workload import SEED, Options

SHARE = 0.5  # of the heads and of the neurons of each layer that are masked
PASSES = 3  # over the sentences, after one that isn't measured
OUTPUT_APART = 1e-5  # largest difference of an entry of a hidden state


def rows(options: Options) -> list[Row]:
    folder, steps = options.folder / "text", 1 if options.quick else 6
    # In a child, so that this process has computed nothing when it is forked.
    count = in_child(lambda _watch: sum(map(len, Work(folder, steps).batches))).value
    return [*slim_rows(folder, steps, count, options.repeats), *mask_rows(folder, steps, count, options.repeats)]


def slim_rows(folder: Path, steps: int, count: int, repeats: int) -> list[Row]:
    lines = []
    for what, neurons in (("heads", False), ("heads and neurons", True)):
        ways = {way: encoding(folder, steps, neurons, way == "slim") for way in ("dense", "slim")}
        found = alternate(ways, repeats)
        apart = float(np.abs(found["dense"][0].value - found["slim"][0].value).max())
        each = [PASSES * count / found[way][0].seconds() for way in ways]
        work = f"encoding, dense → without half of the {what}, {each[0]:.0f} → {each[1]:.0f} sentences a second"
        lines.append(compare(work, found["dense"], found["slim"], None, require("outputs apart", apart, OUTPUT_APART)))
    return lines


def encoding(folder: Path, steps: int, neurons: bool, slim: bool) -> Callable[[Stopwatch], np.ndarray]:
    """Hidden states of all sentences, by an encoder whose masked weights are 0 or, slim, taken out."""

    def way(watch: Stopwatch) -> np.ndarray:
        from biasmask.models.pruner import Pruner
        from biasmask.models.slim import slim as make_slim

        work = Work(folder, steps)
        net = work.net
        pruner = Pruner(net, "head", feed_forward=neurons)
        pruner.set_masks(half(pruner.masks()))
        pruner.fold()
        if slim:
            make_slim(net)
        batches = [work.table.batch(batch) for batch in work.batches]

        def encode() -> list[torch.Tensor]:
            return [net(input_ids=b["input_ids"], attention_mask=b["attention_mask"]).last_hidden_state for b in batches]

        with torch.inference_mode():
            last = encode()
            watch.start()
            for _ in range(PASSES):
                encode()
            watch.lap("encode")
        return torch.cat([h[b["attention_mask"] == 1] for h, b in zip(last, batches, strict=True)]).numpy()

    return way


def half(masks: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Masks that take the same units out of all matrices of a layer."""
    generator = torch.Generator().manual_seed(SEED)
    drawn: dict[tuple[str, int], torch.Tensor] = {}
    for name, mask in masks.items():
        key = (name.split(".")[0], mask.numel())
        if key not in drawn:
            order = torch.randperm(mask.numel(), generator=generator)
            drawn[key] = order >= int(SHARE * mask.numel())
    return {name: drawn[name.split(".")[0], mask.numel()].view(mask.shape) for name, mask in masks.items()}


def mask_rows(folder: Path, steps: int, count: int, repeats: int) -> list[Row]:
    found = alternate({way: stepping(folder, steps, way) for way in ("none", "repeat_interleave", "ours")}, repeats)
    theirs, mine = (found[way][0].value for way in ("repeat_interleave", "ours"))
    apart = float(np.linalg.norm(theirs - mine) / np.linalg.norm(theirs))
    check = require("gradients of the scores apart, relative", apart, 1e-4)
    about = f"forward and backward in fp32 on {count:,} sentences, blocks of {BLOCK}"
    return [
        compare(f"{about}, masks by repeat_interleave → ours", found["repeat_interleave"], found["ours"], None, check),
        compare(f"{about}, no masks → ours (what the masks cost)", found["none"], found["ours"]),
    ]


def stepping(folder: Path, steps: int, masks: str) -> Callable[[Stopwatch], np.ndarray | None]:
    """Forward and backward passes through the frozen encoder to its embedding output, with or without masks."""

    def way(watch: Stopwatch) -> np.ndarray | None:
        work = Work(folder, steps)
        net = work.net
        scores = attach(net, masks)
        scores_at_start(scores)
        net.embeddings.register_forward_hook(lambda _module, _inputs, output: output.requires_grad_())
        batches = [work.table.batch(batch) for batch in work.batches]
        for timed in (False, True):
            for score in scores.values():
                score.grad = None
            watch.start()
            for batch in batches:
                found = net(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
                found[batch["attention_mask"] == 1].square().mean().backward()
            if timed:
                watch.lap("step")
        return gradients(scores) if scores else None

    return way


def attach(net: nn.Module, masks: str) -> dict[str, Any]:
    """Scores on the network, at a threshold of 0.1, by `{layer}_{role}`."""
    from text_textbook import BlockLinear, put_masks

    from biasmask.models.pruner import Pruner

    if masks == "none":
        return {}
    if masks == "ours":
        pruner = Pruner(net, "block", BLOCK)
        pruner.threshold = 0.1
        return dict(pruner.parameters_by_matrix.items())
    BlockLinear.threshold = 0.1
    return put_masks(net, BLOCK)
