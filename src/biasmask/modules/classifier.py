"""The classifier as a LightningModule: baseline training, prediction, and the format of every image checkpoint."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import lightning
import torch
from torch import Tensor
from torch.optim import Optimizer

from biasmask.data.augment import Augment, normalize
from biasmask.errors import MethodError
from biasmask.methods.task_loss import task_loss
from biasmask.metrics.overall import overall_auroc
from biasmask.models.depthwise_gradient import DepthwiseGradient
from biasmask.models.image_classifier import create_network, scores_of, target_logits


class ClassifierModule(lightning.LightningModule):
    """An image classifier that takes uint8 images and gives one logit an image, with more than two classes one a class.

    The hyper-parameters are primitives only, so that each checkpoint reloads with `weights_only=True`; what concerns the
    training (`learning`) is no part of them.

    Args:
        backbone: timm model name.
        image_size: pixels of the square input.
        mean, std: normalisation per RGB channel, range 0..1.
        num_outputs: outputs of the head: 1 or 2 for two classes, C for C > 2.
        model_args: further arguments of `timm.create_model`.
        channels_last: memory format of the images and convolutions.
        network: use this network instead of building one.
        learning: the settings of a training (optimizer, scheduler, augmentation, class balance), or None to predict only.
    """

    def __init__(
        self,
        backbone: str,
        image_size: int,
        mean: list[float],
        std: list[float],
        num_outputs: int = 1,
        model_args: dict[str, Any] | None = None,
        channels_last: bool = False,
        network: torch.nn.Module | None = None,
        learning: "Learning | None" = None,
    ):
        super().__init__()
        self.save_hyperparameters("backbone", "image_size", "mean", "std", "num_outputs", "model_args", "channels_last")
        self.net = network or create_network(backbone, num_outputs, image_size, **(model_args or {}))
        if channels_last:
            self.net = self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.learning = learning
        self._validation: list[tuple[Tensor, Tensor]] = []

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B,) or (B, C) of images (B, 3, H, W), uint8."""
        return self.logits(self.normalized(images))

    def logits(self, inputs: Tensor) -> Tensor:
        """Logits (B,) or (B, C) of what the network takes: normalised images (B, 3, H, W)."""
        with DepthwiseGradient() if torch.is_grad_enabled() else nullcontext():
            return target_logits(self.net(inputs))

    def normalized(self, images: Tensor) -> Tensor:
        """Images as the network takes them: float, normalised."""
        return self.laid_out(normalize(images, self.hparams["mean"], self.hparams["std"]))

    def laid_out(self, images: Tensor) -> Tensor:
        return images.contiguous(memory_format=torch.channels_last) if self.hparams["channels_last"] else images

    def task_loss(self, logits: Tensor, target: Tensor) -> Tensor:
        settings = self.learning or Learning()
        return task_loss(logits, target, settings.class_balance, settings.class_counts)  # type: ignore[arg-type]

    def training_step(self, batch: dict[str, Any], _index: int) -> Tensor:
        loss = self.task_loss(self.augmented_logits(batch["image"]), batch["target"])
        if not torch.isfinite(loss):
            raise MethodError(f"the loss is {float(loss.detach())} in epoch {self.current_epoch}: lower baseline.optimizer.lr")
        self.log("train/loss", loss.detach(), on_step=False, on_epoch=True, batch_size=len(batch["target"]))
        return loss

    def augmented_logits(self, images: Tensor) -> Tensor:
        """Logits of random views, drawn from a stream of their own that depends on seed, epoch, step and rank only."""
        if self.learning is None or not self.learning.augment:
            return self(images)
        stream = (self.learning.seed, self.current_epoch, self.global_step, self.global_rank)
        generator = torch.Generator().manual_seed(hash(stream) % 2**63)
        views = Augment(**self.learning.augment)(images, self.hparams["mean"], self.hparams["std"], generator=generator)
        return self.logits(self.laid_out(views))

    def validation_step(self, batch: dict[str, Any], _index: int) -> None:
        logits = self(batch["image"])
        self._validation.append((logits.float().cpu(), batch["target"].cpu()))

    def require_finite(self, logits: Tensor) -> None:
        if not torch.isfinite(logits).all():
            raise MethodError(
                f"the scores on the validation split are NaN or infinite in epoch {self.current_epoch}: lower the learning rate "
                "(baseline.optimizer.lr, or optimizer.lr of the debias stage)"
            )

    def on_validation_epoch_end(self) -> None:
        logits, target = (torch.cat(parts) for parts in zip(*self._validation, strict=True))
        self.require_finite(logits)
        self._validation.clear()
        self.log("val/loss", self.task_loss(logits, target), sync_dist=True)
        self.log("val/auroc", overall_auroc(scores_of(logits), target), sync_dist=True)

    def predict_step(self, batch: dict[str, Any], _index: int) -> dict[str, Tensor]:
        return {"row": batch["row"].cpu(), "logit": self(batch["image"]).float().cpu()}

    def configure_optimizers(self) -> Any:
        if self.learning is None or self.learning.optimizer is None:
            return None
        optimizer = self.learning.optimizer([p for p in self.parameters() if p.requires_grad])
        if self.learning.scheduler is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": self.learning.scheduler(optimizer), "monitor": "val/loss"}}


class Learning:
    """How a classifier is trained; handed over beside the hyper-parameters, so that no checkpoint holds objects.

    Args:
        optimizer: makes an optimizer of parameters.
        scheduler: makes a learning-rate scheduler of an optimizer; it watches `val/loss` where it needs to.
        augment: arguments of `biasmask.data.augment.Augment`; empty: the images as they are.
        class_balance: `dataset`, `batch` or `none`, see `methods.task_loss`.
        class_counts: training rows of each class in the order of the classes, for `dataset`.
        seed: of the random views.
    """

    def __init__(
        self,
        optimizer: Callable[[list[torch.nn.Parameter]], Optimizer] | None = None,
        scheduler: Callable[[Optimizer], Any] | None = None,
        augment: dict[str, Any] | None = None,
        class_balance: str = "none",
        class_counts: Sequence[int] | None = None,
        seed: int = 0,
    ):
        self.optimizer, self.scheduler, self.augment = optimizer, scheduler, augment or {}
        self.class_balance, self.class_counts, self.seed = class_balance, class_counts, seed
