"""Image classifiers on timm backbones: building, the head, the logits and scores, the features.

Letters: B batch, C classes, H W pixels, F features.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

import timm
from timm.data import resolve_model_data_config
from torch import Tensor, nn

from biasmask.errors import ConfigError


def create_network(
    backbone: str, num_outputs: int = 1, image_size: int | None = None, pretrained: bool = False, **model_args: Any
) -> nn.Module:
    """Build a timm network with a head of `num_outputs` logits.

    Args:
        backbone: a timm model name, such as `resnet18` or `hf_hub:...`.
        num_outputs: 1 (a logit of the positive class), or C >= 2 (softmax over C classes).
        image_size: pixels of the square input; handed to architectures with a fixed input size (ViT, Swin).
        pretrained: load timm's own weights (needs a network or a filled cache).
        model_args: further keyword arguments of `timm.create_model`.

    Raises:
        ConfigError: an unknown name (near names are listed), no outputs, or arguments that the architecture refuses.
    """
    if num_outputs < 1:
        raise ConfigError(f"model.num_outputs={num_outputs}: a classifier has at least 1 output")
    if not backbone.startswith(("hf_hub:", "hf-hub:", "local-dir:")) and not timm.is_model(backbone.split(".")[0]):
        near = get_close_matches(backbone.split(".")[0], timm.list_models(), 6)
        raise ConfigError(f"model.backbone={backbone}: timm knows no such model; near names: {', '.join(near) or 'none'}")
    config = timm.get_pretrained_cfg(backbone, allow_unregistered=True)
    if image_size and config is not None and config.fixed_input_size:
        model_args = {"img_size": image_size, **model_args}
    try:
        return timm.create_model(backbone, pretrained=pretrained, num_classes=num_outputs, **model_args)
    except (AssertionError, TypeError, RuntimeError, ValueError) as error:
        detail = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(f"model.backbone={backbone} can't be built with image_size={image_size}: {detail}") from error


def input_statistics(net: nn.Module) -> tuple[int, list[float], list[float]]:
    """Image size in pixels, mean and standard deviation (RGB, range 0..1) from the network's own timm config."""
    config = resolve_model_data_config(net)
    return int(config["input_size"][-1]), [float(v) for v in config["mean"]], [float(v) for v in config["std"]]


def head_of(net: nn.Module) -> tuple[str, nn.Linear]:
    """The classifier layer and its name, found by asking the model.

    Raises:
        ConfigError: the model's classifier isn't one Linear layer (two distilled heads, a convolution, none).
    """
    head = net.get_classifier()  # type: ignore[operator]
    if not isinstance(head, nn.Linear):
        kind = type(head).__name__
        raise ConfigError(f"the head of {type(net).__name__} is a {kind}; biasmask edits networks whose head is a Linear")
    return next(name for name, module in net.named_modules() if module is head), head


def backbone_parameters(net: nn.Module) -> dict[str, nn.Parameter]:
    """All parameters but the head's, by name, in the network's order."""
    head = {id(p) for p in head_of(net)[1].parameters()}
    return {name: p for name, p in net.named_parameters() if id(p) not in head}


def outputs_for(num_outputs: int, n_classes: int) -> int:
    """Outputs of a head that is made for a number of classes: what was asked for with two, one a class with more.

    Args:
        num_outputs: of the configuration; 1, where nothing else was asked for.
        n_classes: C of the data.

    Raises:
        ConfigError: a number that these classes can't have.

    >>> outputs_for(2, 2), outputs_for(1, 7)
    (2, 7)
    """
    if num_outputs not in (1, 2, n_classes) or (num_outputs == 2 and n_classes > 2):
        allowed = "1 or 2 outputs" if n_classes == 2 else f"{n_classes} outputs (1 = as many as there are classes)"
        raise ConfigError(f"model.num_outputs={num_outputs}: a classifier of {n_classes} classes has {allowed}")
    return num_outputs if n_classes == 2 else n_classes


def target_logits(outputs: Tensor) -> Tensor:
    """Logits as the losses take them: one of the positive class with two classes, else one a class.

    Two outputs under a softmax are one logit: z = z1 - z0.

    Args:
        outputs: (B,), (B, 1), (B, 2), or (B, C) with C > 2.
    Returns:
        (B,) logits of the positive class, or (B, C).

    >>> import torch
    >>> target_logits(torch.tensor([[1.0, 3.0]])), target_logits(torch.zeros(4, 3)).shape
    (tensor([2.]), torch.Size([4, 3]))
    """
    if outputs.ndim == 1 or outputs.shape[1] > 2:
        return outputs
    return outputs[:, 0] if outputs.shape[1] == 1 else outputs[:, 1] - outputs[:, 0]


def scores_of(logits: Tensor) -> Tensor:
    """Scores of `target_logits`: sigmoid of (B,), softmax of (B, C); float64, in [0, 1].

    >>> import torch
    >>> scores_of(torch.zeros(1)), scores_of(torch.zeros(1, 4))[0, 0]
    (tensor([0.5000], dtype=torch.float64), tensor(0.2500, dtype=torch.float64))
    """
    return logits.double().sigmoid() if logits.ndim == 1 else logits.double().softmax(1)


@contextmanager
def captured_features(net: nn.Module, detached: bool = True) -> Iterator[list[Tensor]]:
    """Collect what enters the head, (B, F), during the forward passes inside the `with` block; `detached`: without its graph."""
    features: list[Tensor] = []

    def keep(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        features.append(inputs[0].detach() if detached else inputs[0])

    handle = head_of(net)[1].register_forward_pre_hook(keep)
    try:
        yield features
    finally:
        handle.remove()


def soften_head(net: nn.Module) -> None:
    """Draw the head's weights from N(0, 0.01^2), with bias 0, so that a pretrained backbone starts from scores near one half.

    timm draws the head of an EfficientNet with one output from +-1: its logits are then so large that the first steps of a
    training destroy the pretrained features (docs/decisions.md).
    """
    head = head_of(net)[1]
    nn.init.normal_(head.weight, std=0.01)
    if head.bias is not None:
        nn.init.zeros_(head.bias)


def reset_head(net: nn.Module) -> None:
    """Set the head's weight and bias to 0, so that every class has the same score."""
    for parameter in head_of(net)[1].parameters():
        nn.init.zeros_(parameter)
