"""Runs that are killed (SIGKILL, the whole process group) at random moments and started again, until they end."""

import itertools
import json
import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from filelock import FileLock, Timeout
from safetensors import safe_open

from tests.conftest import RENDERED, FinishedRun, Runner, in_fork, start_fork

WEIGHTS = (
    *("debiased_timm.pt", "delta.safetensors", "debiased_hf/model.safetensors"),
    *("mask.safetensors", "block_mask.safetensors", "projection.safetensors"),
)
# Between them they go through every kind of stage that a family has.
METHODS = {
    "image": {
        "bmft": ("debias.impair.epochs=1", "debias.repair.epochs=2"),
        "swift": ("debias.impair.epochs=1", "debias.repair.epochs=1"),
        "dfr": (),
        "fairprune": (),
        "thresholds": (),
    },
    "text": {
        "text/block_pruning": ("debias.prune.optimizer.lr=1.0",),
        "text/sentence_debias": (),
        "text/inlp": (),
    },
}
HALF = (".part", ".building", ".tmp")


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

    A run is started with a folder, a store and caches of its own, killed after a moment drawn evenly from its undisturbed
    length, and started again by the same command; that is killed again with a chance of one half. Methods take turns.

    Args:
        family: image | text.
        kills: how many.
        seed: of the moments.
        home: an empty folder.
    """
    draw = random.Random(seed)
    job(family, next(iter(METHODS[family])), home / "first")()  # here, so that the copies of this process import nothing
    methods, whole = itertools.cycle(METHODS[family]), {}
    record = Record()
    while record.kills < kills:
        record.runs += 1
        method, place = next(methods), home / f"killed{record.runs}"
        if method not in whole:
            whole[method] = _undisturbed(family, method, home)
        reference, length = whole[method]
        again = True
        while again and record.kills < kills:
            if not _killed(job(family, method, place), home / "output.txt", draw.uniform(0, length)):
                break
            record.kills += 1
            _look(place, record)
            again = draw.random() < 0.5
        _must_end(job(family, method, place), home / "output.txt")
        record.faults += _differences(reference, place)
        shutil.rmtree(place)
    return record


def job(family: str, method: str, place: Path, parts: Path | None = None) -> Callable[[], Any]:
    """A tiny run of a method with its folder, store and caches below `place`; a text run's encoder and corpus lie in `parts`."""
    runner = Runner(place / "runs", place / "shared")
    keys = (f"debias={method}", "name=killed", *METHODS[family][method])
    where = {"folder": place / "run", "store": place / "store"}
    if family == "text":
        return lambda: runner.text(parts or place.parent / "parts", *keys, **where)
    return lambda: runner.train("experiment=bmft_rendered", *RENDERED, *keys, **where)


def _undisturbed(family: str, method: str, home: Path) -> tuple[FinishedRun, float]:
    """A run of the method that is left in peace, and its seconds."""
    place = home / f"undisturbed_{method.replace('/', '_')}"
    start = time.monotonic()
    _must_end(job(family, method, place), home / "output.txt")
    return FinishedRun(place / "run", None), time.monotonic() - start


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
    while os.getpgid(pid) != pid:  # it has no group of its own yet: this process would be killed as well
        time.sleep(0.001)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return True


def _look(place: Path, record: Record) -> None:
    """Every file that has its final name must be whole."""
    stored = [path for path in place.glob("store/*/*/inputs.json") if not path.parent.name.startswith(".")]
    newest = max(stored, key=lambda path: path.stat().st_mtime, default=None)
    record.stages_done[newest.parent.parent.name if newest else "none"] += 1
    for path in filter(Path.is_file, place.rglob("*")):
        half = next((end for part in path.relative_to(place).parts for end in HALF if end in part), None)
        if half:
            record.leftovers[half.strip(".")] += 1
        elif path.name != ".lock" and path.suffix != ".lock":
            try:
                _read(path)
            except Exception as error:
                record.faults.append(f"half a file: {path}: {error}")


def _read(path: Path) -> None:
    if path.suffix == ".json":
        json.loads(path.read_text(encoding="utf-8"))
    elif path.suffix == ".parquet":
        pd.read_parquet(path)
    elif path.suffix == ".npy":
        np.load(path, mmap_mode="r")
    elif path.suffix in (".pt", ".ckpt"):
        torch.load(path, weights_only=True)
    elif path.suffix == ".safetensors":
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118 - the file is no dict
                file.get_tensor(name)
    elif path.suffix == ".html" and "</html>" not in path.read_text(encoding="utf-8")[-200:]:
        raise ValueError("its end is missing")


def _differences(whole: FinishedRun, place: Path) -> list[str]:
    """What a run that was killed and went on has otherwise than an undisturbed one."""
    again = FinishedRun(place / "run", None)
    found = [] if again.figures == whole.figures else [f"{again.folder}: other figures"]
    for name in WEIGHTS:
        one, two = whole.folder / name, again.folder / name
        if one.is_file() != two.is_file() or (one.is_file() and not _same(one, two)):
            found.append(f"{again.folder}: other {name}")
    for path in place.rglob("*"):
        if any(end in path.name for end in HALF):
            found.append(f"{path} stays")
        if path.name.endswith(".lock"):
            try:
                FileLock(path).acquire(timeout=0).lock.release()
            except Timeout:
                found.append(f"{path} is held by nobody alive")
    return found


def _same(one: Path, two: Path) -> bool:
    if one.suffix == ".safetensors":
        return one.read_bytes() == two.read_bytes()
    first, second = (torch.load(path, weights_only=True) for path in (one, two))
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
