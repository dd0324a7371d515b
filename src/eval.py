"""Evaluate a run or one of its checkpoints: `python src/eval.py ckpt_path=logs/runs/... data=fitzpatrick17k`."""

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig


@hydra.main(version_base="1.3", config_path="../configs", config_name="eval")
def main(config: DictConfig) -> None:
    from biasmask.pipeline.entry import guarded  # torch and lightning are imported when something runs, not for --help

    def job() -> None:
        from biasmask.cli.mistakes import require_read

        require_read(config, HydraConfig.get().overrides.task)
        from biasmask.pipeline.eval_run import evaluate

        evaluate(config)

    guarded(job)


if __name__ == "__main__":
    from biasmask.cli.start import start

    start(main, "eval")
