"""BMFT the textbook way: a plain PyTorch loop in float32 over a Dataset that decodes its JPEGs in every pass.

Two passes for the two importances, np.percentile for the threshold, the backbone's forward in every epoch of the repair. Losses,
importances, mask and updates are written out here again. From the project come the order of the batches and, where asked for, the
decoder, so that both ways see the same pixels in the same order and the numbers can be compared.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import timm
import torch
import torch.nn.functional as F
from measure import EPOCH, Stopwatch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from workload import SEED, Workload

from biasmask.data.decode import decode_image
from biasmask.data.samplers import BalancedRows, GroupTargetBatches, IndexBatches, SequentialBatches

DECODERS = ("torchvision", "project", "memory")
Batch = tuple[Tensor, Tensor, Tensor]


class JpegDataset(Dataset[Batch]):
    """Decodes one image an item: `torchvision` by PIL and its resize and crop, `project` by this project's `decode_image` (the
    same pixels as ours), `memory` from pixels that were decoded before."""

    def __init__(self, rows: Any, root: Any, size: int, mean: list[float], std: list[float], decoder: str, pixels: Any = None):
        self.paths = [root / name for name in rows["image"]]
        self.target, self.group = rows["target"].to_numpy(), rows["group"].to_numpy()
        self.size, self.decoder, self.pixels = size, decoder, pixels
        resize = [transforms.Resize(size), transforms.CenterCrop(size)] if decoder == "torchvision" else []
        self.transform = transforms.Compose([*resize, transforms.ToTensor(), transforms.Normalize(mean, std)])

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, item: int) -> Any:
        return self.transform(self._picture(item)), int(self.target[item]), int(self.group[item])

    def _picture(self, item: int) -> Any:
        if self.decoder == "memory":
            return np.array(self.pixels[item])
        if self.decoder == "project":
            return np.array(decode_image(self.paths[item], self.size))
        return Image.open(self.paths[item]).convert("RGB")


class Textbook:
    """One run of locate, impair and repair; every method that works is timed by the caller's stopwatch.

    Args:
        workload: table, checkpoint, image size.
        decoder: see JpegDataset.
        config: of the project, for the numbers (rates, batch size, weights of losses) only.
        watch: takes the laps.
    """

    def __init__(self, workload: Workload, decoder: str, config: Any, watch: Stopwatch, pixels: Any = None):
        import pandas as pd

        self.config, self.watch = config, watch
        self.net = timm.create_model(config.model.backbone, num_classes=1)
        self.net.load_state_dict(torch.load(workload.checkpoint, weights_only=True))
        self.net.eval()
        self.head = self.net.get_classifier()
        own = {id(p) for p in self.head.parameters()}
        self.backbone = {name: p for name, p in self.net.named_parameters() if id(p) not in own}
        table = pd.read_csv(workload.table)
        table["group"] = (table["tone"] == "light").astype(int)
        mean, std = (list(self.net.default_cfg[key]) for key in ("mean", "std"))
        self.sets = {}
        for split in ("debias", "val"):
            rows = table[table["split"] == split]
            part = pixels[rows.index] if pixels is not None else None
            self.sets[split] = JpegDataset(rows, workload.table.parent, workload.image_size, mean, std, decoder, part)
        target = self.sets["debias"].target
        self.positive, self.negative = int(target.sum()), int((1 - target).sum())

    def loader(self, split: str, batches: IndexBatches) -> DataLoader[Batch]:
        return DataLoader(self.sets[split], batch_sampler=batches)  # type: ignore[arg-type]

    def val_loader(self) -> DataLoader[Batch]:
        return self.loader("val", SequentialBatches(len(self.sets["val"]), self.config.data.eval_batch_size))

    def debias_loader(self, kind: Callable[..., IndexBatches], batch_size: int) -> tuple[DataLoader[Batch], IndexBatches]:
        batches = kind(self.sets["debias"].target, self.sets["debias"].group, batch_size, seed=SEED)
        return self.loader("debias", batches), batches

    def task_loss(self, logits: Tensor, target: Tensor) -> Tensor:
        total = self.positive + self.negative
        weight = torch.where(target == 1, self.negative / total, self.positive / total)
        return F.binary_cross_entropy_with_logits(logits, target.float(), weight=weight)

    @staticmethod
    def bias_loss(logits: Tensor, target: Tensor, group: Tensor) -> Tensor:
        """Equalized odds of two groups: mean of the gaps in true and false positive rate, of scores."""
        scores = torch.sigmoid(logits)
        rates = [[scores[(target == y) & (group == g)].mean() for g in (0, 1)] for y in (0, 1)]
        return 0.5 * sum((a - b).abs() for a, b in rates)  # type: ignore[return-value]

    def locate(self) -> dict[str, Any]:
        importances = {kind: self.importance(kind) for kind in ("bias", "task")}  # two walks over the data
        ratio = {}
        for name in self.backbone:
            bias, task = (_min_max(importances[kind][name]) for kind in ("bias", "task"))
            ratio[name] = bias / (task + self.config.debias.locate.ratio_epsilon)
        flat = np.concatenate([score.flatten().numpy() for score in ratio.values()])
        threshold = float(np.percentile(flat, 100 * (1 - self.config.debias.edit_fraction)))
        mask = {name: score > threshold for name, score in ratio.items()}
        self.watch.lap("locate")
        return {**importances, "threshold": threshold, "mask": mask}

    def importance(self, kind: str) -> dict[str, Tensor]:
        total = {name: torch.zeros_like(p) for name, p in self.backbone.items()}
        loader, _ = self.debias_loader(GroupTargetBatches, self.config.debias.locate.batch_size)
        for images, target, group in loader:
            logits = self.net(images)[:, 0]
            loss = self.task_loss(logits, target) if kind == "task" else self.bias_loss(logits, target, group)
            self.net.zero_grad()
            loss.backward()
            for name, parameter in self.backbone.items():
                total[name] += parameter.grad**2  # type: ignore[operator]
        self.net.zero_grad()
        return {name: value / len(loader) for name, value in total.items()}

    def impair(self, mask: dict[str, Tensor]) -> None:
        settings = self.config.debias.impair
        for parameter in self.head.parameters():
            parameter.requires_grad_(False)
        start = {name: p.detach().clone() for name, p in self.backbone.items()}
        optimizer = self.optimizer(self.backbone.values(), settings)
        loader, batches = self.debias_loader(GroupTargetBatches, settings.batch_size)
        self.watch.lap("impair: start")
        for epoch in range(settings.epochs):
            batches.set_epoch(epoch)
            for images, target, group in loader:
                loss = self.loss(self.net(images)[:, 0], target, group, settings)
                optimizer.zero_grad()
                loss.backward()
                for name, parameter in self.backbone.items():
                    parameter.grad *= mask[name]  # type: ignore[operator]
                if settings.gradient_clip_val:
                    nn.utils.clip_grad_norm_(self.backbone.values(), settings.gradient_clip_val)
                optimizer.step()
                with torch.no_grad():  # weight decay passes the gradient's mask by
                    for name, parameter in self.backbone.items():
                        parameter.copy_(torch.where(mask[name], parameter, start[name]))
            self.validate()
            self.watch.lap("impair:" + EPOCH)

    def repair(self) -> None:
        settings = self.config.debias.repair
        self.net.requires_grad_(False)
        for parameter in self.head.parameters():
            parameter.requires_grad_(True)
            if settings.reset_head:
                nn.init.zeros_(parameter)
        optimizer = self.optimizer(self.head.parameters(), settings)
        loader, batches = self.debias_loader(BalancedRows, settings.batch_size)
        views = torch.Generator().manual_seed(SEED)
        self.watch.lap("repair: start")
        for epoch in range(settings.epochs):
            batches.set_epoch(epoch)
            for images, target, group in loader:
                mirrored = torch.randint(settings.views, (len(images),), generator=views) == 1
                images[mirrored] = images[mirrored].flip(3)
                loss = self.loss(self.net(images)[:, 0], target, group, settings)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            self.validate()
            self.watch.lap("repair:" + EPOCH)

    def loss(self, logits: Tensor, target: Tensor, group: Tensor, settings: Any) -> Tensor:
        task, bias = self.task_loss(logits, target), self.bias_loss(logits, target, group)
        return settings.task_weight * task + settings.bias_weight * bias

    @torch.no_grad()
    def validate(self) -> float:
        found = [(self.net(images)[:, 0], target) for images, target, _ in self.val_loader()]
        logits, target = (torch.cat(part) for part in zip(*found, strict=True))
        return float(self.task_loss(logits, target))

    @staticmethod
    def optimizer(parameters: Iterable[nn.Parameter], settings: Any) -> torch.optim.Optimizer:
        node = settings.optimizer
        return torch.optim.SGD(list(parameters), lr=node.lr, momentum=node.momentum, weight_decay=node.weight_decay)


def _min_max(value: Tensor) -> Tensor:
    low, high = value.min(), value.max()
    return (value - low) / (high - low) if high > low else torch.zeros_like(value)
