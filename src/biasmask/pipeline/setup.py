"""From a configuration to the objects of a run: threads, data, trainers, loggers."""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
import torch
from hydra.utils import instantiate
from lightning.pytorch.strategies.launchers.subprocess_script import _SubprocessScriptLauncher
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from biasmask.data.hidden_ids import hide_ids
from biasmask.data.image_data import ImageData, open_image_data
from biasmask.errors import BiasmaskError, ConfigError
from biasmask.modules.clock import TimeLeft

# Settings of the Trainer that don't change a result: where it runs and what it shows.
NEUTRAL_TRAINER_KEYS = {
    "_target_", "accelerator", "devices", "num_nodes", "strategy", "enable_model_summary", "enable_progress_bar",
    "enable_checkpointing", "log_every_n_steps", "use_distributed_sampler", "num_sanity_val_steps", "profiler",
    "default_root_dir",
}  # fmt: skip


def set_threads(threads: int | None, sweep: bool) -> None:
    """Use as many threads as asked for; by default one in a sweep, where jobs share the cores and must agree to the bit."""
    count = threads or (1 if sweep else len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    torch.set_num_threads(int(count or 1))
    torch.set_flush_denormal(True)
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)


def fast_precision(accelerator: str) -> str:
    """What `trainer.precision=auto` stands for: bf16-mixed where the processor computes in bf16, else 32-true.

    A processor without it emulates bf16, ten times slower than float32.
    """
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"
    if accelerator == "mps":
        return "32-true"
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()  # torch has no public question
    return "bf16-mixed" if native else "32-true"


def trainer_factory(node: DictConfig) -> tuple[Callable[..., lightning.Trainer], dict[str, Any]]:
    """A maker of Trainers from the `trainer` node, and those of its settings that determine a result.

    Raises:
        ConfigError: this machine lacks the accelerator, or a setting that the Trainer refuses.
    """
    settings: dict[str, Any] = OmegaConf.to_container(node, resolve=True)  # type: ignore[assignment]
    if settings.get("precision") == "auto":
        settings["precision"] = fast_precision(str(settings.get("accelerator", "auto")))
    overfit = settings.get("overfit_batches", 0)

    def make(**overrides: Any) -> lightning.Trainer:
        merged = {**settings, **{key: value for key, value in overrides.items()}}
        if overfit and overrides.get("max_epochs"):
            merged["overfit_batches"] = 0  # the check concerns the baseline
        try:
            return one_process_of_stages(instantiate(merged, _convert_="all"))
        except Exception as error:
            if isinstance(error, BiasmaskError):
                raise
            detail = str(error.__cause__ or error).splitlines()[0]
            raise ConfigError(
                f"trainer={settings.get('accelerator')}, devices={settings.get('devices')}: {detail}; trainer=cpu runs everywhere"
            ) from error

    key = {name: value for name, value in settings.items() if name not in NEUTRAL_TRAINER_KEYS}
    if all(".environments." in str(plugin) for plugin in settings.get("plugins") or ()):
        key.pop("plugins", None)  # where it runs
    processes = {name: settings.get(name, 1) for name in ("devices", "num_nodes")}
    if set(processes.values()) != {1}:  # they take fewer steps, each on more rows
        key |= processes
    return make, key


def one_process_of_stages(trainer: lightning.Trainer) -> lightning.Trainer:
    """The trainer, if the process that made it starts the others itself: that one runs the stages and writes what they give.

    Raises:
        ConfigError: the command is started once a process, by Lightning or by SLURM: each would wait for the others' stages.
    """
    if isinstance(trainer.strategy.launcher, _SubprocessScriptLauncher):
        raise ConfigError(
            "trainer.strategy starts this command once more for each device, and they would wait for one another's stages: "
            "take trainer.strategy=ddp_spawn (trainer=ddp), or ddp_fork on a CPU (trainer=ddp_sim)"
        )
    if trainer.strategy.launcher is None and trainer.world_size > 1:
        raise ConfigError(
            f"this command was started {trainer.world_size} times, once a device: start it once (srun --ntasks=1), it starts the "
            "others itself"
        )
    return trainer


def logger_factory(node: DictConfig | None) -> Callable[[str], Any]:
    """Makes the loggers of a stage; each stage is a version of its own."""

    def make(stage: str) -> Any:
        loggers = []
        for name, logger in (node or {}).items():
            extra = {"version": stage} if name in ("csv", "tensorboard") else {}
            loggers.append(instantiate(logger, **extra))
        return loggers or False

    return make


@contextmanager
def progress_bar(label: str, shown: bool) -> Iterator[Callable[[int, int], None]]:
    """A bar with the time left for work that isn't a Trainer's, such as decoding; lines now and then where no bar is seen."""
    console = Console(stderr=True)
    lines: TimeLeft | None = None

    def line(done: int, total: int) -> None:
        nonlocal lines
        lines = lines or TimeLeft(label, total)
        lines.update(done)

    if not shown:
        yield line
        return
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    columns = (TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn(), *times)
    with Progress(*columns, console=console, transient=False) as progress:
        task = None

        def update(done: int, total: int) -> None:
            nonlocal task
            if task is None:
                task = progress.add_task(label, total=total)
            progress.update(task, completed=done)
            if not console.is_terminal:
                line(done, total)

        yield update


def selection_of(config: DictConfig) -> dict[str, Any] | None:
    """What chooses the epochs of all stages: the rule with its settings, and the rule of the thresholds; None = their guards.

    Raises:
        ValueError: a setting that the rule refuses.
    """
    if not config.get("selection"):
        return None
    node = OmegaConf.to_container(config.selection, resolve=True)
    instantiate(node)  # a wrong setting is told before anything is trained
    return {"rule": node, "threshold_rule": config.metrics.threshold_rule}


def attribute_names(value: Any) -> tuple[str, ...]:
    """The attributes that are debiased: none, one (`sex`, or crossed: `sex+age`), or several at once (`[sex, age]`).

    Raises:
        ConfigError: an empty list, or a name twice.

    >>> attribute_names("sex + age"), attribute_names(["sex", "age"]), attribute_names(None), attribute_names(3)
    (('sex+age',), ('sex', 'age'), (), ('3',))
    """
    several = isinstance(value, Sequence) and not isinstance(value, str)
    names = () if value is None else tuple(str(name) for name in (value if several else (value,)))
    names = tuple("+".join(part.strip() for part in name.split("+")) for name in names)
    if len(set(names)) < len(names) or (value is not None and not names):
        raise ConfigError(f"attribute=[{','.join(names)}]: name one attribute, or different ones as in attribute=[sex,age]")
    return names


def crossed_name(names: Sequence[str]) -> str:
    """The attribute whose groups tell all groups of several attributes apart; a single one is itself.

    >>> crossed_name(["sex", "age"]), crossed_name(["sex+age", "sex"])
    ('sex+age', 'sex+age')
    """
    return names[0] if len(names) == 1 else "+".join(dict.fromkeys(part for name in names for part in name.split("+")))


def open_data(
    node: DictConfig, attributes: Sequence[str], image_size: int, cache_dir: str, progress: bool, debiases: bool = True
) -> ImageData:
    """The data of a `data` node, with the debiased attributes first and those that are reported besides.

    Args:
        node: the `data` node.
        attributes: names of the debiased attributes.
        image_size: pixels.
        cache_dir: folder of the decoded pixels.
        progress: draw a bar.
        debiases: whether stages follow that need an attribute, and of several at once their crossing.

    Raises:
        ConfigError: no attribute was named.
        DataError: whatever is wrong with the table or its images.
    """
    if not attributes and debiases:
        defined = ", ".join((node.get("attributes") or {}).keys()) or "any column of the table"
        raise ConfigError(f"no sensitive attribute was named: type attribute=<name> ({defined})")
    source = instantiate(node.source)
    definitions = OmegaConf.to_container(node.attributes, resolve=True) if node.get("attributes") else None
    names = [*attributes, *(node.get("report_attributes") or [])]
    with progress_bar("decode", progress) as update:
        data = open_image_data(
            source,
            definitions,  # type: ignore[arg-type]
            names,
            image_size,
            Path(cache_dir),
            update,
            crossed_name(attributes) if debiases and len(attributes) > 1 else None,
            node.get("debias_share", 1.0) if debiases else 1.0,
            node.get("share_seed", 0),
            node.get("store_url"),
            node.get("store_cache_gb", 20.0),
            eval_batch_size=node.eval_batch_size,
            num_workers=node.num_workers,
            pin_memory=node.pin_memory,
            show_rows=node.get("show_rows", False),
            small_cell=node.get("small_cell", 10),
        )
    return replace(data, table=hide_ids(data.table, Path(node.id_key))) if node.get("id_key") else data
