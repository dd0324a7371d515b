"""Where a sweep writes: one folder for one command, so that the same command, typed again, goes on where it stopped."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

GRID = "BasicSweeper"  # the n-th job is the same in each start; a search proposes its jobs anew


class OneFolderForOneCommand(Callback):
    """Puts a sweep over a grid into a folder named after its overrides, in place of one named after the time.

    The jobs' configurations are composed one by one from Hydra's own overrides, so the folder goes there. A folder that was asked
    for (`hydra.sweep.dir=...`) stays as it is.
    """

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        typed = config.hydra.overrides.hydra
        if not str(config.hydra.sweeper._target_).endswith(GRID) or any(o.startswith("hydra.sweep.dir=") for o in typed):
            return
        folder = Path(config.hydra.sweep.dir).parent / command_id(config)
        with read_write(config), open_dict(config):
            config.hydra.sweep.dir = str(folder)
            quoted = str(folder).replace("\\", "\\\\").replace("'", "\\'")
            config.hydra.overrides.hydra.append(f"hydra.sweep.dir='{quoted}'")


def command_id(config: DictConfig) -> str:
    """Eight characters that stand for what was typed and for the grid that the configuration names."""
    grid = OmegaConf.to_container(config.hydra.sweeper.params or OmegaConf.create({}))
    text = json.dumps([list(config.hydra.overrides.task), grid], default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


class PathForJobs(Callback):
    """Lets the jobs of launchers that start processes of their own (submitit, Ray) find this package where it isn't installed."""

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        source = str(Path(__file__).resolve().parents[2])
        known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        if source not in known:
            os.environ["PYTHONPATH"] = os.pathsep.join([source, *filter(None, known)])
