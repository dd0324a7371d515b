"""What both ways work on: generated JPEGs with a table, a network with a checkpoint, and the project's own configuration."""

import os
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
WIDTH, HEIGHT = 600, 450
NOISE_FIELDS = 8
SEED = 1


@dataclass(frozen=True)
class Options:
    """What was asked for on the command line.

    Args:
        folder: for images, stores and results; removed at the end unless the user named it.
        images: number of images in all; 3 of 5 are of the debias split, 2 of validation (HAM10000's .3 and .2).
        epochs: epochs that are measured of each step; `full_epochs` are counted.
    """

    folder: Path
    quick: bool = False
    repeats: int = 3
    images: int = 2000
    image_size: int = 64
    backbone: str = "efficientnet_lite0"
    quality: int = 90
    epochs: int = 1
    full_epochs: int = 10
    sizes: tuple[int, ...] = field(default=(96, 128))


def make_images(folder: Path, count: int, quality: int) -> Path:
    """Write `count` JPEGs of 600 x 450 and `table.csv` beside them; what is there already is kept.

    A lesion on skin with a camera's noise. Dark skin has fewer pictures and more malignant ones, so that there is a bias.
    """
    table = folder / "table.csv"
    if table.is_file():
        return table
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(SEED)
    noise = [np.round(random.normal(0, 8, (HEIGHT, WIDTH, 3))).astype(np.int16) for _ in range(NOISE_FIELDS)]
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    lines = []
    for i in range(count):
        dark = random.random() < 0.35
        malignant = random.random() < (0.5 if dark else 0.25)
        skin = np.array([150, 105, 80] if dark else [225, 180, 160], np.int16)
        height, width = (HEIGHT / 2 + random.normal(0, 20), WIDTH / 2 + random.normal(0, 20))
        angle = np.arctan2(y - height, x - width)
        edge = 1 + (0.25 if malignant else 0.05) * np.sin(5 * angle + random.uniform(0, 6))
        inside = np.hypot(x - width, y - height) < random.uniform(80, 130) * edge
        picture = np.where(inside[..., None], skin - np.array([70, 80, 70], np.int16), skin)
        picture = picture + np.roll(noise[i % NOISE_FIELDS], int(random.integers(HEIGHT)), axis=0)
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(folder / f"{i:05d}.jpg", quality=quality)
        # 3 of 5 rows in turn, so that a smaller table has the same shares.
        split = "debias" if i % 5 < 3 else "val"
        lines.append({"image": f"{i:05d}.jpg", "target": int(malignant), "tone": "dark" if dark else "light", "split": split})
    part = table.with_suffix(".part")
    pd.DataFrame(lines).to_csv(part, index=False)
    os.replace(part, table)
    return table


@cache
def mean_kilobytes(folder: Path) -> float:
    return float(np.mean([path.stat().st_size for path in folder.glob("*.jpg")])) / 1000


@dataclass(frozen=True)
class Workload:
    """One table, one image size, one network.

    Args:
        table: CSV of `make_images`. checkpoint: timm state dict. cache: folder of pixel stores.
    """

    table: Path
    checkpoint: Path
    image_size: int
    backbone: str
    epochs: int

    def config(self, folder: Path, cache: Path | None = None) -> Any:
        """The configuration of `experiment=bmft data=csv` with this table and checkpoint.

        Only the guard is off: it is ours and not the textbook's, and would let the result hang on one comparison of two floats.
        """
        from hydra import compose, initialize_config_dir

        overrides = {
            "experiment": "bmft",
            "data": "csv",
            "backbone": self.backbone,
            "trainer": "cpu",
            "logger": "none",
            "attribute": "tone",
            "seed": SEED,
            "progress": False,
            "data.table": self.table,
            "data.image_size": self.image_size,
            "model.ckpt_path": self.checkpoint,
            "paths.log_dir": folder,
            "paths.cache_dir": cache or folder / "pixels",
            "debias.impair.guard": "null",
            "debias.impair.epochs": self.epochs,
            "debias.repair.epochs": self.epochs,
        }
        with initialize_config_dir(config_dir=str(ROOT / "configs"), version_base=None):
            return compose("train", overrides=[f"{key}={value}" for key, value in overrides.items()])


def make_workload(options: Options, images: int, image_size: int, epochs: int) -> Workload:
    """Images and a network whose outputs are of a sensible scale, kept in the folder for the next call."""
    table = make_images(options.folder / f"jpeg_{images}_q{options.quality}", images, options.quality)
    checkpoint = options.folder / f"{options.backbone}.pt"
    workload = Workload(table, checkpoint, image_size, options.backbone, epochs)
    if not checkpoint.is_file():
        from measure import in_child

        in_child(lambda _watch: _write_network(workload))
    return workload


def _write_network(workload: Workload) -> None:
    """Random weights, norm statistics of some of the images: an untrained network in eval mode has nearly no gradient."""
    import timm
    import torch

    from biasmask.data.decode import decode_image

    torch.manual_seed(SEED)
    name = workload.config(workload.table.parent).model.backbone
    net = timm.create_model(name, num_classes=1)
    torch.nn.init.normal_(net.get_classifier().weight, std=0.03)  # timm's own gives logits of tens to an EfficientNet
    for module in net.modules():
        if hasattr(module, "running_mean"):
            module.momentum = None
    paths = sorted(workload.table.parent.glob("*.jpg"))[:64]
    pixels = np.stack([decode_image(path, workload.image_size) for path in paths])
    with torch.no_grad():
        net.train()(torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1)
    torch.save(net.state_dict(), workload.checkpoint)
