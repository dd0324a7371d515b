"""Train a baseline and debias it: `python src/train.py experiment=bmft_ham10000 paths.data_dir=...`."""

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig


@hydra.main(version_base="1.3", config_path="../configs", config_name="train")
def main(config: DictConfig) -> float | None:
    from biasmask.pipeline.entry import guarded  # torch and lightning are imported when something runs, not for --help

    def job() -> float:
        from biasmask.cli.mistakes import require_read

        require_read(config, HydraConfig.get().overrides.task)
        from biasmask.pipeline.train_run import train

        return train(config)

    return guarded(job)


if __name__ == "__main__":
    from biasmask.cli.start import start

    start(main, "train")
