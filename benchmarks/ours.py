"""Our way: the stages of a run on the run's own context, as src/train.py goes through them, with laps."""

from pathlib import Path
from typing import Any

import lightning
from measure import EPOCH, Stopwatch
from safetensors.torch import load_file
from workload import Workload

from biasmask.pipeline.baseline import ModelConfig, load_users_checkpoint
from biasmask.pipeline.context import Context, ModelState
from biasmask.pipeline.fine_tune import FineTune
from biasmask.pipeline.locate import Locate
from biasmask.pipeline.train_run import Run, list_stages


class EpochLaps(lightning.Callback):
    """A lap at the start of a fit and after each epoch with its validation."""

    def __init__(self, watch: Stopwatch):
        self.watch, self.stage = watch, ""

    def on_train_start(self, *_: Any) -> None:
        self.watch.lap(f"{self.stage}: start")

    def on_train_epoch_end(self, *_: Any) -> None:
        self.watch.lap(f"{self.stage}:{EPOCH}")


class Ours:
    """Opening decodes the pixels where `cache` doesn't hold them yet; `stage` runs one stage of the method.

    Args:
        workload: table, checkpoint, image size.
        folder: of this run: its store and, without `cache`, its pixels.
        watch: takes the laps.
        cache: folder of pixel stores that exist already.
    """

    def __init__(self, workload: Workload, folder: Path, watch: Stopwatch, cache: Path | None = None):
        self.watch, self.folder = watch, folder
        config = workload.config(folder, cache)
        watch.start()
        model = ModelConfig(**config.model)
        self.state: ModelState = load_users_checkpoint(model)
        run = Run(config, folder)
        self.context: Context = run.context(self.state.hyper["image_size"])
        self.stages: dict[str, Locate | FineTune] = list_stages(run.config.debias)
        self.laps = EpochLaps(watch)
        make = self.context.make_trainer

        def with_laps(**arguments: Any) -> lightning.Trainer:
            if self.laps.stage in ("impair", "repair") and "max_epochs" in arguments:  # not the walks that predict
                arguments["callbacks"] = [*arguments["callbacks"], self.laps]
            return make(**arguments)

        self.context.make_trainer = with_laps
        watch.lap("open")

    def stage(self, name: str) -> ModelState:
        self.laps.stage = name
        self.state = self.stages[name].run(name, self.state, self.context)
        self.watch.lap(f"{name}: end" if name != "locate" else "locate")
        return self.state

    def importances(self) -> dict[str, dict[str, Any]]:
        """Those that `locate` left in the store."""
        (path,) = self.folder.glob("store/importance/*/importance.safetensors")
        found: dict[str, dict[str, Any]] = {"bias": {}, "task": {}}
        for key, tensor in load_file(path).items():
            kind, _, name = key.partition("/")
            found[kind][name] = tensor
        return found
