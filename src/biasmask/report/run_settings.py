"""What was set in a run, and which of it makes another candidate of a comparison."""

from collections.abc import Mapping
from typing import Any

UNIT_KEYS = (
    "seed", "data.split_seed", "data.source.split.seed", "data.source.split_seed",
    *(f"data.{part}{key}" for part in ("", "source.", "source.split.") for key in ("folds", "fold")),
)  # fmt: skip
# Settings that change no result, or none but which test sets and draws there are.
NO_SETTING = {
    "name", "paths", "hydra", "logger", "progress", "threads", "experiment", "data.extra_tests", "data.num_workers",
    "data.pin_memory", "data.eval_batch_size", "data.report_attributes", "data.processes", "trainer.accelerator",
    "trainer.devices", "trainer.strategy", "metrics.n_bootstrap", "metrics.confidence", "metrics.seed", "metrics.n_draws",
    "metrics.benchmarks", "metrics.benchmark_rows", "metrics.benchmark_folder", "metrics.probes", "metrics.probe_folder",
    "debias.label",
}  # fmt: skip


def split_number(config: Mapping[str, Any]) -> int | None:
    """Which split a run had: its seed; with k folds the number of the fold, k more for each seed.

    >>> split_number({"data.split_seed": 3}), split_number({"data.split_seed": 1, "data.folds": 5, "data.fold": 2})
    (3, 7)
    """
    seed, folds = config.get("data.split_seed"), config.get("data.folds")
    return seed if folds is None else (seed or 0) * folds + (config.get("data.fold") or 0)


def is_free(key: str) -> bool:
    """Whether runs of one candidate may differ in a setting."""
    parts = key.split(".")
    return key in UNIT_KEYS or any(".".join(parts[:depth]) in NO_SETTING for depth in range(1, len(parts) + 1))


def without_paths(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration without the place where it ran: values below one of its paths begin with the path's name instead."""
    places = {str(value): name for name, value in (config.get("paths") or {}).items() if value}
    places = dict(sorted(places.items(), key=lambda place: -len(place[0])))

    def replaced(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: replaced(entry) for key, entry in value.items()}
        if isinstance(value, list):
            return [replaced(entry) for entry in value]
        inside = (place for place in places if isinstance(value, str) and f"{value}/".startswith(f"{place}/"))
        place = next(inside, None)
        return value if place is None else f"<{places[place]}>{value[len(place) :]}"

    return {key: value if key == "paths" else replaced(value) for key, value in config.items()}


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as dotted keys.

    >>> flatten({"debias": {"edit_fraction": 0.1, "stages": ["locate"]}})
    {'debias.edit_fraction': 0.1, 'debias.stages': "['locate']"}
    """
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + str(key)] = value if isinstance(value, str | int | float | None) else str(value)
    return flat
