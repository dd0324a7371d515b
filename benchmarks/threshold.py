"""The threshold of the mask: the percentile of 90 million scores, spread over tensors as in a network of that size."""

import numpy as np
import torch
from measure import Row, Stopwatch, alternate, compare, require
from workload import Options

TENSORS = 160  # a ViT-B has about as many
RATE = 50.0


def scores(n: int) -> dict[str, torch.Tensor]:
    """Ratios of importances: nearly all small, a few large."""
    generator = np.random.default_rng(0)
    flat = generator.random(n, dtype=np.float32)
    np.multiply(flat, flat, out=flat)
    pieces = torch.from_numpy(flat).split(-(-n // TENSORS))
    return {f"block.{i}.weight": piece for i, piece in enumerate(pieces)}


def rows(options: Options) -> list[Row]:
    from biasmask.methods.weight_mask import threshold_of

    n = 4_000_000 if options.quick else 90_000_000

    def percentile(watch: Stopwatch) -> float:
        tensors = scores(n)
        watch.start()
        result = float(np.percentile(np.concatenate([tensor.numpy() for tensor in tensors.values()]), RATE))
        watch.lap("threshold")
        return result

    def kthvalue(watch: Stopwatch) -> float:
        tensors = scores(n)
        watch.start()
        result = float(torch.kthvalue(torch.cat(list(tensors.values())), int((n - 1) * RATE / 100) + 1).values)
        watch.lap("threshold")
        return result

    def ours(watch: Stopwatch) -> float:
        tensors = scores(n)
        watch.start()
        result = threshold_of(tensors, RATE)
        watch.lap("threshold")
        return result

    found = alternate({"np.percentile": percentile, "torch.kthvalue": kthvalue, "ours": ours}, options.repeats)
    lines = []
    for name, target in (("np.percentile", 3.0), ("torch.kthvalue", None)):
        apart = abs(found[name][0].value - found["ours"][0].value)
        check = require("threshold apart", apart, 1e-6)
        work = f"threshold of {n / 1e6:.0f} M scores, against {name}"
        lines.append(compare(work, found[name], found["ours"], target, check))
    return lines
