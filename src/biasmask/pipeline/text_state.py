"""A text encoder between two stages, and the folder it is kept in: plain Hugging Face files, no pickle."""

import hashlib
import json
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from biasmask.files import storage_error
from biasmask.models.text_encoder import build_encoder, load_encoder, quiet_transformers
from biasmask.pipeline.structure import read_block_mask, write_block_mask


@dataclass(frozen=True)
class TextState:
    """An encoder with its tokenizer, and the block mask once one was made.

    Args:
        name: where it came from: a hub name, or the last part of a folder.
        model_class: class of transformers, such as `BertModel`.
        config: its configuration, primitives only.
        weights: state dict on the CPU.
        tokenizer: a fast tokenizer.
        masks: `{layer}.{role}` -> bool grid, True = kept; None before pruning.
        mask_info: the content of `block_mask.json`.
    """

    name: str
    model_class: str
    config: dict[str, Any]
    weights: dict[str, Tensor]
    tokenizer: Any = field(compare=False)
    masks: dict[str, Tensor] | None = None
    mask_info: dict[str, Any] | None = None

    @classmethod
    def load(cls, source: str) -> "TextState":
        """From a folder or a hub name."""
        net, tokenizer = load_encoder(source)
        name = Path(source).name if Path(source).is_dir() else source
        if name == "model" and Path(source).is_dir():  # the folder inside a package is called that
            name = Path(source).parent.name
        return cls(name, type(net).__name__, net.config.to_dict(), {}, tokenizer).with_weights(net)

    @property
    def key(self) -> str:
        """SHA-256 over class, configuration, weights, tokenizer and masks: equal keys are the same model."""
        digest = hashlib.sha256(self.model_class.encode())
        config = {k: v for k, v in self.config.items() if k not in ("_name_or_path", "transformers_version")}
        digest.update(json.dumps(config, sort_keys=True, default=str).encode())
        digest.update(self.tokenizer_key.encode())
        for name, tensor in [*self.weights.items(), *(self.masks or {}).items()]:
            digest.update(name.encode())
            digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    @property
    def tokenizer_key(self) -> str:
        """SHA-256 of all that the tokenizer does, without how it was last called (truncation, padding)."""
        content = json.loads(self.tokenizer.backend_tokenizer.to_str())
        content.pop("truncation", None)
        content.pop("padding", None)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def network(self) -> nn.Module:
        """The model in eval mode, on memory of its own."""
        return build_encoder(self.model_class, self.config, {name: tensor.clone() for name, tensor in self.weights.items()})

    def with_weights(self, net: nn.Module) -> "TextState":
        weights = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in net.state_dict().items()}
        return replace(self, weights=weights)


def save_encoder(folder: Path, state: TextState) -> None:
    """Write a folder that `AutoModel.from_pretrained` loads where biasmask isn't installed, as a whole or not at all.

    Raises:
        StoreError: the disk is full or the folder can't be written.
    """
    building = folder.with_name(f".{folder.name}.building")
    try:
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True)
        with quiet_transformers():
            state.network().save_pretrained(building)
            state.tokenizer.save_pretrained(building)
        shutil.rmtree(folder, ignore_errors=True)
        building.replace(folder)
    except OSError as error:
        shutil.rmtree(building, ignore_errors=True)
        raise storage_error(error, folder) from error


def save_masks(folder: Path, state: TextState) -> None:
    """`block_mask.safetensors` and `block_mask.json`, where the state has a mask."""
    write_block_mask(folder, state.masks, state.mask_info)


def read_masks(folder: Path, state: TextState) -> TextState:
    """The state with the mask that lies in a folder, if one does."""
    found = read_block_mask(folder)
    return state if found is None else replace(state, masks=found[0], mask_info=found[1])
