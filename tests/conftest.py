"""Runs inside the test process, with settings small enough for seconds: imports are paid once, not once a run."""

import gc
import importlib.metadata
import json
import os
import pickle
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.tiers import mark
from tests.warm import put_python

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch is imported: the cores are shared by the test processes
    os.environ.setdefault("OMP_NUM_THREADS", "1")

gc.set_threshold(100_000, 50, 1000)  # a full collection among millions of objects of imports takes as long as a short test
os.fsync = lambda _file: None  # a run waits for the disk forty times, for the case of a power cut
# Each Trainer asks all installed packages for callbacks of theirs, which takes longer than a tiny epoch.
importlib.metadata.entry_points = cache(importlib.metadata.entry_points)

REPOSITORY = Path(__file__).resolve().parents[1]
CONFIGS = REPOSITORY / "configs"
TINY = (
    "trainer=cpu",
    "backbone=test_resnet",
    "data.image_size=32",
    "trainer.max_epochs=1",
    "metrics.n_bootstrap=20",
    "logger=none",
    "progress=false",
    "threads=1",
)
RENDERED = ("data.source.n={train: 64, debias: 96, val: 64, test: 64}", "data.batch_size=32")
SHORT_STAGES = ("debias.impair.epochs=1", "debias.repair.epochs=2")


def strict_json(path: Path) -> Any:
    """Read JSON in which NaN and Infinity are no numbers."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{path} holds {name}, which isn't JSON")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


@dataclass(frozen=True)
class FinishedRun:
    """A run folder and the one number that the run returned."""

    folder: Path
    objective: float | None

    def read(self, name: str) -> Any:
        return strict_json(self.folder / name)

    @property
    def figures(self) -> dict[str, Any]:
        """All figures of metrics.json, without what tells how they were made."""
        content = self.read("metrics.json")
        return {key: content[key] for key in ("models", "difference", "threshold") if key in content}

    def stage(self, name: str) -> dict[str, Any]:
        return next(record for record in self.read("stages.json") if record["stage"] == name)


# Files of long tests are begun first, so that no process is left alone with one at the end.
LONG_FIRST = ("science", "notebooks", "cli", "contracts", "pipeline", "report", "metrics")


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mark(items)

    def place(item: pytest.Item) -> int:
        folder = item.path.parent.name
        return LONG_FIRST.index(folder) if folder in LONG_FIRST and "tests" in item.path.parts else len(LONG_FIRST)

    items.sort(key=place)


@pytest.fixture(scope="session")
def warm_python() -> Iterator[Path]:
    """A `python` whose commands find third-party packages imported (tests/warm.py); its folder goes to the front of PATH."""
    folder = Path(tempfile.mkdtemp(prefix="warm"))
    command, server = put_python(folder / "bin")
    yield command
    server.terminate()
    server.wait()
    shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def _subnormal_floats() -> None:
    """A run flushes them to 0 for speed; the next test must not inherit that."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_flush_denormal(False)


@pytest.fixture(autouse=True)
def _clean_hydra() -> Iterator[None]:
    """Hydra keeps its state in singletons: one test must not see another's."""
    yield
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.hydra_config import HydraConfig

    GlobalHydra.instance().clear()
    HydraConfig.instance().cfg = None


def is_value(override: str) -> bool:
    """Whether an override sets a value: one that chooses a file, or is about Hydra, is needed while files are merged."""
    key = override.partition("=")[0].lstrip("+~")
    return not key.startswith("hydra") and "@" not in key and not (CONFIGS / key).is_dir()


@cache
def composed(name: str, choices: tuple[str, ...]) -> bytes:
    """A pickled configuration with Hydra's node, composed from files once a process."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return pickle.dumps(compose(name, list(choices), return_hydra_config=True))  # read in a fifth of a deep copy's time


def compose_config(name: str, overrides: list[str], run_dir: Path) -> Any:
    """Compose a configuration as the entry points do, for a run in `run_dir`.

    Values are set on a copy of the merged files by Hydra's own function; a contract compares with Hydra alone.
    """
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra.core.hydra_config import HydraConfig
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf, open_dict

    values = OverridesParser.create().parse_overrides([o for o in overrides if is_value(o)])
    config = pickle.loads(composed(name, tuple(o for o in overrides if not is_value(o))))
    ConfigLoaderImpl._apply_overrides_to_config(values, config)
    with open_dict(config):
        config.hydra.overrides.task = [o for o in overrides if not o.lstrip("+~").startswith("hydra")]
        config.hydra.runtime.output_dir = str(run_dir)
        config.hydra.job.num = 0
    HydraConfig.instance().set_config(config)
    with open_dict(config):
        del config["hydra"]
    OmegaConf.set_struct(config, True)
    return config


@dataclass
class Runner:
    """Makes runs below one folder; the stage store and the pixels are shared by the runs of the session unless told."""

    home: Path
    shared: Path
    count: int = 0

    def _folder(self, folder: Path | str | None) -> Path:
        self.count += 1
        return self.home / f"run{self.count}" if folder is None else Path(folder)

    def _paths(self, store: Path | str | None) -> list[str]:
        return [
            f"paths.store_dir={store or self.shared / 'store'}",
            f"paths.cache_dir={self.shared / 'pixels'}",
            f"paths.log_dir={self.home}",
        ]

    def train(self, *overrides: str, folder: Path | str | None = None, store: Path | str | None = None) -> FinishedRun:
        from biasmask.pipeline.train_run import train

        run_dir = self._folder(folder)
        config = compose_config("train", [*TINY, *self._paths(store), *overrides], run_dir)
        return FinishedRun(run_dir, train(config))

    def rendered(self, *overrides: str, **where: Any) -> FinishedRun:
        """BMFT on a few rendered lesions."""
        return self.train("experiment=bmft_rendered", *RENDERED, *SHORT_STAGES, *overrides, **where)

    def text(self, parts: Path, *overrides: str, masked_lm: bool = False, **where: Any) -> FinishedRun:
        """A text run on parts of its own (see tests/text.py)."""
        from tests.text import text_overrides

        folder = self._folder(where.get("folder"))
        from biasmask.pipeline.train_run import train

        own = [*text_overrides(parts, masked_lm), *self._paths(where.get("store")), *overrides]
        return FinishedRun(folder, train(compose_config("train", own, folder)))

    def evaluate(self, checkpoint: Path, *overrides: str, folder: Path | str | None = None) -> FinishedRun:
        from biasmask.pipeline.eval_run import evaluate

        run_dir = self._folder(folder)
        own = [f"ckpt_path={checkpoint}", "trainer=cpu", "progress=false", "threads=1", "metrics.n_bootstrap=20"]
        evaluate(compose_config("eval", [*own, *self._paths(None), *overrides], run_dir))
        return FinishedRun(run_dir, None)

    def error(self, job: Callable[[], Any]) -> str:
        """The one line that a person sees when a job ends by an error of theirs."""
        from biasmask.pipeline.entry import plain_error

        with pytest.raises(Exception) as caught:
            job()
        text = plain_error(caught.value)
        if text is None:
            raise caught.value
        assert "\n" not in text
        return text


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared")


@pytest.fixture
def runner(tmp_path: Path, shared_folder: Path) -> Runner:
    return Runner(tmp_path / "runs", shared_folder)


@dataclass(frozen=True)
class UserTable:
    """A user's own table: a CSV beside its images."""

    path: Path
    frame: pd.DataFrame

    def save(self, frame: pd.DataFrame | None = None) -> None:
        (self.frame if frame is None else frame).to_csv(self.path, index=False)

    @property
    def overrides(self) -> list[str]:
        epochs = ["debias.impair.epochs=1", "debias.repair.epochs=2"]
        return ["experiment=bmft", "data=csv", f"data.table={self.path}", "attribute=sex", *epochs]


class ClassTable(UserTable):
    """A table with a target of three classes and attributes of three and two groups."""

    @property
    def overrides(self) -> list[str]:
        epochs = ["debias.impair.epochs=1", "debias.repair.epochs=2"]
        target = ["data.target=diagnosis", "data.classes=[nv,mel,bkl]"]
        return ["experiment=bmft", "data=csv", f"data.table={self.path}", *target, "attribute=site", *epochs]


def make_user_table(folder: Path) -> UserTable:
    """80 PNG images of 40 x 36 pixels whose brightness tells the target; sex and target in every pairing in every split."""
    number = np.arange(80)
    frame = pd.DataFrame(
        {
            "image": [f"images/{n:03d}.png" for n in number],
            "target": number % 2,
            "sex": np.where(number // 2 % 2, "female", "male"),
            "site": np.array(["a", "b", "c"])[number % 3],
            "split": np.array(["debias", "debias", "debias", "val", "test"])[number // 4 % 5],
        }
    )
    (folder / "mine" / "images").mkdir(parents=True)
    for n in number:
        noise = np.random.default_rng(n).integers(0, 120, (36, 40, 3)) + 100 * (n % 2)
        Image.fromarray(noise.astype(np.uint8)).save(folder / "mine" / "images" / f"{n:03d}.png")
    table = UserTable(folder / "mine" / "mine.csv", frame)
    table.save()
    return table


@pytest.fixture
def user_table(tmp_path: Path) -> UserTable:
    return make_user_table(tmp_path)


def make_class_table(folder: Path) -> UserTable:
    """144 PNG images of three diagnoses, told by a brightness that leans on the site; all pairings twice a split."""
    number = np.arange(144)
    frame = pd.DataFrame(
        {
            "image": [f"images/{n:03d}.png" for n in number],
            "diagnosis": np.array(["mel", "nv", "bkl"])[number % 3],
            "site": np.array(["arm", "back", "face"])[number // 3 % 3],
            "sex": np.where(number // 9 % 2, "female", "male"),
            "split": np.array(["train", "debias", "val", "test"])[number // 18 % 4],
        }
    )
    (folder / "mine" / "images").mkdir(parents=True)
    for n in number:
        noise = np.random.default_rng(n).integers(0, 80, (36, 40, 3)) + 60 * (n % 3) + 25 * (n // 3 % 3)
        Image.fromarray(noise.astype(np.uint8)).save(folder / "mine" / "images" / f"{n:03d}.png")
    table = ClassTable(folder / "mine" / "mine.csv", frame)
    table.save()
    return table


@pytest.fixture
def class_table(tmp_path: Path) -> UserTable:
    return make_class_table(tmp_path)


@pytest.fixture
def trained_net(tmp_path: Path) -> Callable[..., Path]:
    return net_writer(tmp_path)


def net_writer(folder: Path) -> Callable[..., Path]:
    """Writes the state dict of a timm net, as a user would, and gives its path."""

    def write(backbone: str = "test_resnet", outputs: int = 1, wrap: Any = None, name: str = "mine.pt", **args: Any) -> Path:
        import timm
        import torch
        from safetensors.torch import save_file

        torch.manual_seed(0)
        net = timm.create_model(backbone, num_classes=outputs, **args)
        for module in net.modules():
            if getattr(module, "running_mean", None) is not None:  # a trained net has statistics of its own, and no norm of 0
                module.running_mean.uniform_(-0.1, 0.1)
                module.running_var.uniform_(0.5, 2.0)
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
        state = net.state_dict()
        path = folder / name
        if path.suffix == ".safetensors":
            save_file(state, path)
        else:
            torch.save(wrap(state) if wrap else state, path)
        return path

    return write


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code (negative: the signal), and all that it printed."""

    code: int
    output: str


def in_fork(job: Callable[[], Any], output: Path, seconds: float = 200) -> Ended:
    """Run a job as an entry point does, in a copy of this process: it may be killed, and costs no import.

    Args:
        job: what to do; errors of the user's become a line and an exit code.
        output: file for standard output and error.
        seconds: after these the process is killed and the test fails.
    """
    pid = start_fork(job, output)
    deadline = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return Ended(os.waitstatus_to_exitcode(status), output.read_text(errors="replace"))
        if time.monotonic() > deadline:
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise AssertionError(f"not finished after {seconds} s:\n{output.read_text(errors='replace')}")
        time.sleep(0.02)


def start_fork(job: Callable[[], Any], output: Path) -> int:
    """Start `in_fork` and give the process id."""
    import torch

    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads of pytest's own do not matter to the copy
        pid = os.fork()
    if pid:
        return pid
    code = 70
    os.setsid()  # a group of its own, so that nothing it starts outlives it
    try:
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
        from biasmask.pipeline.entry import guarded

        guarded(job)
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
