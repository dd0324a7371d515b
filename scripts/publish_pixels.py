"""Publish decoded pixels in shards, for machines without the images: the words of src/train.py, and data.store_url=<where to>.

    python scripts/publish_pixels.py data=ham10000 data.image_size=64 paths.data_dir=... data.store_url=s3://bucket/ham10000_64
    python src/train.py experiment=bmft_ham10000 data.image_size=64 paths.data_dir=... data.store_url=s3://bucket/ham10000_64

The second command needs the tables below paths.data_dir, and no image. See docs/clusters.md
"""

import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))


@hydra.main(version_base="1.3", config_path="../configs", config_name="train")
def main(config: DictConfig) -> None:
    from biasmask.pipeline.entry import guarded

    def job() -> None:
        from hydra.utils import instantiate

        from biasmask.data.pixel_shards import publish
        from biasmask.data.pixel_store import open_pixel_store
        from biasmask.errors import ConfigError
        from biasmask.pipeline.safe_config import allowed_targets, require_known_targets
        from biasmask.pipeline.setup import progress_bar

        require_known_targets(config, allowed_targets(config))
        if not config.data.get("store_url") or not config.data.get("image_size"):
            raise ConfigError("publish_pixels needs data.store_url=<where to> and data.image_size=<pixels>")
        source = instantiate(config.data.source)
        table = source.load()
        with progress_bar("decode", config.progress) as update:
            store = open_pixel_store(table, config.data.image_size, Path(config.paths.cache_dir), source, update)
        with progress_bar("publish", config.progress) as update:
            shards = publish(store, table, config.data.store_url, progress=update)
        print(f"{len(table.frame):,} images of {config.data.image_size} pixels in {shards} shards: {config.data.store_url}")

    guarded(job)


if __name__ == "__main__":
    main()
