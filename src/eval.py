"""Evaluate a run or one of its checkpoints: `python src/eval.py ckpt_path=logs/runs/... data=fitzpatrick17k`."""

import hydra
from omegaconf import DictConfig


@hydra.main(version_base="1.3", config_path="../configs", config_name="eval")
def main(config: DictConfig) -> None:
    from biasmask.pipeline.entry import guarded  # torch and lightning are imported when something runs, not for --help

    def job() -> None:
        from biasmask.pipeline.eval_run import evaluate

        evaluate(config)

    guarded(job)


if __name__ == "__main__":
    main()
