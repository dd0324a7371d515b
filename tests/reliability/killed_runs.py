"""Runs that are killed (SIGKILL, the whole process group) at random moments and started again, until they end."""

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors import safe_open

from tests.conftest import FinishedRun, Runner, in_fork, start_fork

WEIGHTS = ("debiased_timm.pt", "debiased_hf/model.safetensors", "mask.safetensors", "blocks.safetensors")


@dataclass
class Record:
    """What the kills hit and what came of it."""

    kills: int = 0
    runs: int = 0
    stages_done: Counter[str] = field(default_factory=Counter)  # newest finished stage in the store at the kill
    leftovers: Counter[str] = field(default_factory=Counter)  # kinds of half files that lay there after a kill, never read
    faults: list[str] = field(default_factory=list)


def kill_at_random(family: str, kills: int, seed: int, home: Path) -> Record:
    """Kill runs of a family so many times, and compare each that ends with an undisturbed one.

    A run is started in a folder and a store of its own, killed after a moment drawn evenly from its undisturbed length, and
    started again by the same command; that is killed again with a chance of one half.

    Args:
        family: image | text.
        kills: how many.
        seed: of the moments.
        home: an empty folder.
    """
    draw = random.Random(seed)
    runner = Runner(home / "runs", home / "shared")
    job = _jobs(family, runner, home)
    job(home / "first", home / "first_store")()  # here, so that the copies of this process import nothing
    start = time.monotonic()
    _must_end(job(home / "undisturbed", home / "undisturbed_store"), home / "output.txt")
    length = time.monotonic() - start
    whole = FinishedRun(home / "undisturbed", None)
    record = Record()
    while record.kills < kills:
        record.runs += 1
        folder, store = home / f"killed{record.runs}", home / f"store{record.runs}"
        again = True
        while again and record.kills < kills:
            if not _killed(job(folder, store), home / "output.txt", draw.uniform(0, length)):
                break
            record.kills += 1
            _look(folder, store, record)
            again = draw.random() < 0.5
        _must_end(job(folder, store), home / "output.txt")
        record.faults += _differences(whole, FinishedRun(folder, None), store)
    return record


def _jobs(family: str, runner: Runner, home: Path) -> Callable[[Path, Path], Callable[[], Any]]:
    if family == "text":
        keys = ("debias=text/block_pruning", "debias.prune.optimizer.lr=1.0", "name=killed")
        return lambda folder, store: lambda: runner.text(home / "parts", *keys, folder=folder, store=store)
    return lambda folder, store: lambda: runner.rendered("name=killed", folder=folder, store=store)


def _must_end(job: Callable[[], Any], output: Path) -> None:
    ended = in_fork(job, output, seconds=280)
    if ended.code:
        raise AssertionError(f"ended with {ended.code}:\n{ended.output[-2000:]}")


def _killed(job: Callable[[], Any], output: Path, seconds: float) -> bool:
    """Whether the kill came before the end."""
    pid = start_fork(job, output)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            if os.waitstatus_to_exitcode(status):
                raise AssertionError(f"it ended by itself:\n{output.read_text(errors='replace')[-2000:]}")
            return False
        time.sleep(0.005)
    os.killpg(os.getpgid(pid), signal.SIGKILL)
    os.waitpid(pid, 0)
    return True


def _look(folder: Path, store: Path, record: Record) -> None:
    """Every file that has its final name must be whole."""
    stored = [path for path in store.glob("*/*/inputs.json") if not path.parent.name.startswith(".")]
    newest = max(stored, key=lambda path: path.stat().st_mtime, default=None)
    record.stages_done[newest.parent.parent.name if newest else "none"] += 1
    for path in [*folder.rglob("*"), *store.rglob("*")]:
        hidden = any(part.startswith(".") for part in path.relative_to(folder if folder in path.parents else store).parts)
        if hidden and path.is_file() and not path.name.endswith(".lock"):
            record.leftovers["part" if path.name.endswith(".part") else "building"] += 1
        elif path.is_file() and not hidden:
            try:
                _read(path)
            except Exception as error:
                record.faults.append(f"half a file: {path}: {error}")


def _read(path: Path) -> None:
    if path.suffix == ".json":
        json.loads(path.read_text(encoding="utf-8"))
    elif path.suffix == ".parquet":
        pd.read_parquet(path)
    elif path.suffix in (".pt", ".ckpt"):
        torch.load(path, weights_only=True)
    elif path.suffix == ".safetensors":
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118 - the file is no dict
                file.get_tensor(name)
    elif path.suffix == ".html" and "</html>" not in path.read_text(encoding="utf-8")[-200:]:
        raise ValueError("its end is missing")


def _differences(whole: FinishedRun, again: FinishedRun, store: Path) -> list[str]:
    """What a run that was killed and went on has otherwise than an undisturbed one."""
    found = [] if again.figures == whole.figures else [f"{again.folder}: other figures"]
    for name in WEIGHTS:
        one, two = whole.folder / name, again.folder / name
        if one.is_file() != two.is_file() or (one.is_file() and not _same(one, two)):
            found.append(f"{again.folder}: other {name}")
    left = [p for p in [*again.folder.rglob("*.part"), *store.rglob(".*.building")]]
    found += [f"{path} stays" for path in left]
    return found


def _same(one: Path, two: Path) -> bool:
    if one.suffix == ".safetensors":
        return one.read_bytes() == two.read_bytes()
    first, second = (torch.load(path, weights_only=True) for path in (one, two))
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
