"""SEAT 6 to 8b: effect sizes and the permutation test, beside a loop over pairs of sentences and over draws."""

import math
import random
import statistics

import numpy as np
import torch
from measure import Row, Stopwatch, alternate, compare, require
from workload import Options

# Sentences of X, Y, A and B in each test, as biasmask.data.seat makes them.
SIZES = ((64, 64, 101, 112), (80, 80, 101, 112), (72, 82, 80, 80), (72, 82, 64, 64), (56, 76, 80, 80), (56, 76, 64, 64))
DIMENSIONS = 768
DRAWS = 100_000
SECONDS = 1.0


def embeddings(sizes: tuple[int, ...]) -> list[torch.Tensor]:
    """Sets with a common part, as sentences of an encoder have, and a lean of X to A."""
    generator = torch.Generator().manual_seed(sum(sizes))
    common, lean = (torch.randn(DIMENSIONS, generator=generator) for _ in range(2))
    leans = (0.1, -0.1, 0.3, -0.3)
    return [
        torch.randn(size, DIMENSIONS, generator=generator) + common + strength * lean
        for size, strength in zip(sizes, leans, strict=True)
    ]


def cosine(u: np.ndarray, v: np.ndarray) -> float:
    return float(np.dot(u, v)) / math.sqrt(float(np.dot(u, u)) * float(np.dot(v, v)))


def loop_association(w: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    return statistics.fmean(cosine(w, v) for v in a) - statistics.fmean(cosine(w, v) for v in b)


def loop_effect_size(x: np.ndarray, y: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    of_x, of_y = ([loop_association(w, a, b) for w in targets] for targets in (x, y))
    return (statistics.fmean(of_x) - statistics.fmean(of_y)) / statistics.stdev(of_x + of_y)


def loop_p_value(s_x: list[float], s_y: list[float], draws: int) -> float:
    pooled, n = s_x + s_y, len(s_x)
    observed = statistics.fmean(s_x) - statistics.fmean(s_y)
    drawn = random.Random(0)
    reached = 0
    for _ in range(draws):
        drawn.shuffle(pooled)
        reached += sum(pooled[:n]) / n - sum(pooled[n:]) / (len(pooled) - n) >= observed
    return (reached + 1) / (draws + 1)


def rows(options: Options) -> list[Row]:
    from biasmask.metrics.association import effect_size
    from biasmask.metrics.permutation import permutation_p_value

    sizes = SIZES[:1] if options.quick else SIZES
    draws = DRAWS // 50 if options.quick else DRAWS
    # Apart by chance: two samples of this many draws, of a p-value of at most one half.
    chance = 5 * math.sqrt(2 * 0.25 / draws)

    def effects_by_loop(watch: Stopwatch) -> list[float]:
        tests = [[vectors.double().numpy() for vectors in embeddings(each)] for each in sizes]
        loop_effect_size(*(vectors[:2] for vectors in tests[0]))
        watch.start()
        found = [loop_effect_size(*test) for test in tests]
        watch.lap("effect sizes")
        return found

    def effects_by_ours(watch: Stopwatch) -> list[float]:
        tests = [embeddings(each) for each in sizes]
        # Libraries set themselves up at their first product, which is no part of either way.
        effect_size(*(vectors[:2] for vectors in tests[0]))
        watch.start()
        found = [effect_size(*test).item() for test in tests]
        watch.lap("effect sizes")
        return found

    def associations() -> tuple[torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(0)
        s = 0.05 * torch.randn(128, generator=generator, dtype=torch.float64)
        return s[:64] + 0.01, s[64:]

    def p_by_loop(watch: Stopwatch) -> float:
        s_x, s_y = (s.tolist() for s in associations())
        watch.start()
        found = loop_p_value(s_x, s_y, draws)
        watch.lap("permutation")
        return found

    def p_by_ours(watch: Stopwatch) -> float:
        s = associations()
        watch.start()
        found = permutation_p_value(*s, n_draws=draws).value
        watch.lap("permutation")
        return found

    effects = alternate({"loop": effects_by_loop, "ours": effects_by_ours}, options.repeats)
    apart = max(abs(a - b) for a, b in zip(effects["loop"][0].value, effects["ours"][0].value, strict=True))
    p_values = alternate({"loop": p_by_loop, "ours": p_by_ours}, options.repeats)
    p_apart = abs(p_values["loop"][0].value - p_values["ours"][0].value)
    slowest = max(measured.seconds() for measured in p_values["ours"])
    checks = (require("p apart", p_apart, chance), require("seconds at most", slowest, SECONDS))
    return [
        compare(
            f"SEAT effect sizes of {len(sizes)} tests at {DIMENSIONS} dimensions",
            effects["loop"],
            effects["ours"],
            50.0,
            require("effect sizes apart", apart, 1e-9),
        ),
        compare(f"permutation test, {draws:,} draws of 64 + 64", p_values["loop"], p_values["ours"], None, ", ".join(checks)),
    ]
