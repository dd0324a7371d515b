"""The artefact store: a finished stage is kept under the hash of all that determined it, and is never run twice.

A folder appears under its key only when it is whole (written beside, then renamed), so that a killed run leaves nothing that
is read. A file lock per key lets parallel jobs wait for one another instead of training the same baseline twice.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from biasmask import __version__
from biasmask.files import refusal_of_system, storage_error, write_json

STORE_VERSION = 1


def hash_of(value: Any) -> str:
    """SHA-256 of a JSON-able value, independent of the order of keys.

    >>> hash_of({"a": 1, "b": [2]}) == hash_of({"b": [2], "a": 1})
    True
    """
    text = json.dumps([STORE_VERSION, __version__, value], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


class ArtefactStore:
    """Folders of finished stages below `root`, one per stage name and key."""

    def __init__(self, root: Path, on_wait: Callable[[str], None] | None = None):
        self.root = Path(root)
        self.on_wait = on_wait or (lambda _message: None)

    def folder(self, stage: str, key: str) -> Path:
        return self.root / stage / key[:20]

    def obtain(self, stage: str, key: str, make: Callable[[Path], None], inputs: Mapping[str, Any]) -> tuple[Path, bool]:
        """The folder of a finished stage; `make(folder)` fills it if it isn't there yet.

        Args:
            stage: the stage's name, the first part of the folder.
            key: hash of all that determines the result.
            make: writes the artefacts into the folder that it is given.
            inputs: what went into the key, kept as `inputs.json` for people.
        Returns:
            The folder, and whether it was there already.
        Raises:
            StoreError: the store can't be written.
        """
        final = self.folder(stage, key)
        if final.is_dir():
            return final, True
        with self._locked(final):
            if final.is_dir():
                return final, True
            building = final.with_name(f".{final.name}.building")
            shutil.rmtree(building, ignore_errors=True)  # the remains of a killed run: the lock is ours
            try:
                building.mkdir(parents=True)
                make(building)
                write_json(building / "inputs.json", inputs)
                os.replace(building, final)
            except BaseException as error:
                shutil.rmtree(building, ignore_errors=True)
                if (refusal := refusal_of_system(error)) is not None:
                    raise storage_error(refusal, final) from error
                raise
        return final, False

    @contextmanager
    def _locked(self, final: Path) -> Iterator[None]:
        lock = FileLock(final.with_name(f".{final.name}.lock"))
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(timeout=0.05)
            except Timeout:
                self.on_wait(f"waiting for another job that is making {final.parent.name} {final.name}")
                lock.acquire()
        except OSError as error:
            raise storage_error(error, final) from error
        try:
            yield
        finally:
            lock.release()
