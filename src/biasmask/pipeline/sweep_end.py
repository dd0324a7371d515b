"""What happens when a sweep has ended: its runs are compared, and the table lies beside them."""

import atexit
import sys
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig


class CompareRuns(Callback):
    """Writes the comparison of a sweep's runs into its folder and prints it, also where some of the jobs failed.

    A failed job makes Hydra leave the sweep by an exception, without `on_multirun_end`; then it is done at the process's exit.
    """

    def __init__(self) -> None:
        self.folder: Path | None = None

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        self.folder = Path(config.hydra.sweep.dir).absolute()
        atexit.register(self.finish)

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        self.finish()

    def finish(self) -> None:
        """Compare the runs once; an error is one line, since the runs themselves are done."""
        atexit.unregister(self.finish)
        folder, self.folder = self.folder, None
        if folder is None or not folder.is_dir():
            return
        try:
            compare_sweep(folder)
        except Exception as error:
            why = (str(error).splitlines() or [type(error).__name__])[0]
            print(f"the runs are done, and comparing them failed: {why}", file=sys.stderr)
            print(f"try again: python scripts/compare_runs.py {folder}", file=sys.stderr)


def compare_sweep(folder: Path) -> None:
    """Write and print the comparison of a sweep's runs; nothing for fewer than two finished ones."""
    from biasmask.report.sweep_content import compare_folders  # imported when there is something to compare, not for --help
    from biasmask.report.sweep_terminal import print_comparison
    from biasmask.report.sweep_write import write_comparison

    if len(list(folder.glob("**/run.json"))) < 2:
        return
    content = compare_folders([folder])
    if not content["comparisons"]:
        return
    print_comparison(content)
    print(f"comparison: {write_comparison(content, [folder], folder)[0]}")
