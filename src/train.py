"""Train a baseline and debias it: `python src/train.py experiment=bmft_ham10000 paths.data_dir=...`."""

import hydra
from omegaconf import DictConfig


@hydra.main(version_base="1.3", config_path="../configs", config_name="train")
def main(config: DictConfig) -> float | None:
    from biasmask.pipeline.entry import guarded  # torch and lightning are imported when something runs, not for --help

    def job() -> float:
        from biasmask.pipeline.train_run import train

        return train(config)

    return guarded(job)


if __name__ == "__main__":
    main()
