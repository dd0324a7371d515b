"""The pipeline without a command line: configurations from the same YAML files, and a process that stays as it was."""

import logging
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from biasmask.errors import ConfigError
from biasmask.pipeline.safe_config import require_known_targets
from biasmask.pipeline.setup import set_threads

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
LOGGERS = ("lightning.pytorch", "lightning.fabric")
OPEN_NODES = ("data.attributes",)  # mappings whose keys are the user's


@dataclass(frozen=True)
class Workspace:
    """Where finished stages and pixels are kept, and what all steps of a notebook share.

    Args:
        store: folder of finished stages; a step with the same inputs is taken from there.
        cache: folder of decoded images and extracted sentences.
        seed: of weights, batches and random masks.
        threads: CPU threads of torch while a step runs; None: all cores.
        progress: whether to draw bars.
        trainer: file of configs/trainer: default, cpu, gpu, ...
        allow_targets: further packages that a `_target_` may name.
    """

    store: str | Path = "logs/store"
    cache: str | Path = "logs/pixels"
    seed: int = 1
    threads: int | None = None
    progress: bool = False
    trainer: str = "default"
    allow_targets: Sequence[str] = ()

    def compose(self, choices: Mapping[str, str | None], changes: Mapping[str, Any]) -> DictConfig:
        """The configuration of a run.

        Args:
            choices: config group -> file, as `data=csv` on the command line.
            changes: nested keys and values, as `data.image_size=64` on the command line.
        Raises:
            ConfigError: no configs, an unknown file or key, a `_target_` outside of the packages that biasmask uses.
        """
        if not (CONFIGS / "train.yaml").is_file():
            raise ConfigError(
                f"the defaults are read from {CONFIGS}, which isn't there: install biasmask from its repository, with "
                "`pip install -e .`, which leaves configs/ beside src/"
            )
        groups = {"trainer": self.trainer, "logger": "none", **choices}
        try:
            with initialize_config_dir(str(CONFIGS), version_base="1.3"):
                config = compose("train", [f"{group}={'null' if name is None else name}" for group, name in groups.items()])
        except MissingConfigException as error:
            raise ConfigError(" ".join(str(error).partition("Config search path")[0].split())) from error
        except HydraException as error:
            raise ConfigError(str(error).splitlines()[0]) from error
        own = {
            "seed": self.seed,
            "threads": self.threads,
            "progress": self.progress,
            "paths": {"store_dir": str(self.store), "cache_dir": str(self.cache), "run_dir": "."},
        }
        whole = merged(merged(config, own), changes)
        require_known_targets(whole, self.allow_targets)
        return whole

    @contextmanager
    def contained(self) -> Iterator[None]:
        """Work as a run does; afterwards threads, random numbers, loggers and environment are what they were."""
        threads, flushed = torch.get_num_threads(), flushes_subnormals()
        levels = {name: logging.getLogger(name).level for name in LOGGERS}
        states = random.getstate(), np.random.get_state()
        environment = {name: os.environ.get(name) for name in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS")}
        try:
            with torch.random.fork_rng(range(torch.cuda.device_count())):
                set_threads(self.threads, sweep=False)
                yield
        finally:
            torch.set_num_threads(threads)
            torch.set_flush_denormal(flushed)
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
            random.setstate(states[0])
            np.random.set_state(states[1])
            for name, value in environment.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value


def merged(config: DictConfig, changes: Mapping[str, Any]) -> DictConfig:
    """A configuration with changed values; a key that isn't there is an error, as on the command line.

    Raises:
        ConfigError: an unknown key, or a value of a wrong kind.
    """
    config = config.copy()
    for node in OPEN_NODES:
        OmegaConf.set_struct(OmegaConf.select(config, node) or OmegaConf.create(), False)
    try:
        found = OmegaConf.merge(config, OmegaConf.create(dict(changes)))
    except OmegaConfBaseException as error:
        key = getattr(error, "full_key", None) or "?"
        raise ConfigError(f"{key}: {str(error).splitlines()[0]}") from error
    assert isinstance(found, DictConfig)
    return found


def changed(config: DictConfig, keys: Mapping[str, Any], nodes: tuple[str, ...]) -> DictConfig:
    """A configuration with keyword arguments in their places: in the first of the nodes that has the key, else at the top.

    A mapping whose key is a node at the top is meant for that node.

    Args:
        config: the configuration.
        keys: key -> value.
        nodes: names of nodes, dotted: `debias`, `debias.locate`.
    Raises:
        ConfigError: no node has a key.

    >>> config = OmegaConf.create({"seed": 1, "debias": {"edit_fraction": 0.1}})
    >>> changed(config, {"edit_fraction": 0.5, "seed": 2}, ("debias",))
    {'seed': 2, 'debias': {'edit_fraction': 0.5}}
    """
    found: dict[str, Any] = {}
    for key, value in keys.items():
        homes = [node for node in nodes if key in (OmegaConf.select(config, node) or {})]
        if homes and not (isinstance(value, Mapping) and key in config):
            place = found
            for part in homes[0].split("."):
                place = place.setdefault(part, {})
            place[key] = value
        elif key in config:
            found[key] = {**found.get(key, {}), **value} if isinstance(value, Mapping) else value
        else:
            known = ", ".join(str(name) for node in nodes for name in OmegaConf.select(config, node) or {})
            raise ConfigError(f"{key}: there is no such setting; there are {known}")
    return merged(config, found)


def method_file(folder: str, name: str) -> bool:
    """Whether configs has a file of this name in a group."""
    return (CONFIGS / folder / f"{name}.yaml").is_file()


def flushes_subnormals() -> bool:
    """Whether numbers below the normal range are taken for 0 in this thread."""
    return bool(torch.tensor(1e-310, dtype=torch.float64) * 1.0 == 0)
