"""A text encoder between two stages, and the folder it is kept in: plain Hugging Face files, no pickle."""

import hashlib
import json
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from biasmask.errors import CheckpointError
from biasmask.files import refusal_of_system, storage_error, write_atomically
from biasmask.models.text_encoder import build_encoder, load_encoder, quiet_transformers
from biasmask.pipeline.structure import read_block_mask, write_block_mask

PROJECTION, PROJECTION_FILE = "projection", "projection.safetensors"
# A projection can't be folded into the weights: the last layer ends in a LayerNorm, whose scale is one number a dimension.
PROJECTION_NOTE = """# Use this encoder with its projection

The weights are those of the original. What was removed is removed by `projection.safetensors`, a matrix that the output of the
last layer is multiplied with. Without these lines the encoder is the original:

```python
from safetensors.torch import load_file

projection = load_file("projection.safetensors")["projection"]
embedding = encoder(**tokens).last_hidden_state @ projection  # then pool: the mean over the tokens, or the first token
```
"""


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
        projection: (D, D) orthogonal projection of the last layer's tokens, a part of the model that its weights can't hold.
    """

    name: str
    model_class: str
    config: dict[str, Any]
    weights: dict[str, Tensor]
    tokenizer: Any = field(compare=False)
    masks: dict[str, Tensor] | None = None
    mask_info: dict[str, Any] | None = None
    projection: Tensor | None = field(default=None, compare=False)

    @classmethod
    def load(cls, source: str) -> "TextState":
        """From a folder or a hub name."""
        net, tokenizer = load_encoder(source)
        name = Path(source).name if Path(source).is_dir() else source
        if name == "model" and Path(source).is_dir():  # the folder inside a package is called that
            name = Path(source).parent.name
        state = cls(name, type(net).__name__, net.config.to_dict(), {}, tokenizer).with_weights(net)
        return replace(state, projection=read_projection(Path(source), net.config.hidden_size))

    @property
    def key(self) -> str:
        """SHA-256 over class, configuration, weights, tokenizer, masks and projection: equal keys are the same model."""
        digest = hashlib.sha256(self.model_class.encode())
        config = {k: v for k, v in self.config.items() if k not in ("_name_or_path", "transformers_version")}
        digest.update(json.dumps(config, sort_keys=True, default=str).encode())
        digest.update(self.tokenizer_key.encode())
        projection = {} if self.projection is None else {PROJECTION: self.projection}
        for name, tensor in [*self.weights.items(), *(self.masks or {}).items(), *projection.items()]:
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
        save_projection(building, state)
        if state.projection is not None:
            (building / "README.md").write_text(PROJECTION_NOTE, encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        building.replace(folder)
    except Exception as error:  # safetensors and tokenizers have classes of their own for a full disk
        shutil.rmtree(building, ignore_errors=True)
        if (refusal := refusal_of_system(error)) is not None:
            raise storage_error(refusal, folder) from error
        raise


def save_tokenizer(folder: Path, state: TextState) -> None:
    """Write the tokenizer's files into a folder that is there, each as a whole or not at all.

    Raises:
        StoreError: the disk is full or the folder can't be written.
    """
    building = folder / ".tokenizer.building"
    shutil.rmtree(building, ignore_errors=True)
    try:
        state.tokenizer.save_pretrained(building)
        for path in building.iterdir():
            path.replace(folder / path.name)
    except Exception as error:
        if (refusal := refusal_of_system(error)) is not None:
            raise storage_error(refusal, folder) from error
        raise
    finally:
        shutil.rmtree(building, ignore_errors=True)


def save_masks(folder: Path, state: TextState) -> None:
    """`block_mask.safetensors` and `block_mask.json`, where the state has a mask."""
    write_block_mask(folder, state.masks, state.mask_info)


def read_masks(folder: Path, state: TextState) -> TextState:
    """The state with the mask that lies in a folder, if one does."""
    found = read_block_mask(folder)
    return state if found is None else replace(state, masks=found[0], mask_info=found[1])


def save_projection(folder: Path, state: TextState) -> None:
    """`projection.safetensors`, where the state has a projection."""
    if state.projection is not None:
        write_atomically(folder / PROJECTION_FILE, save({PROJECTION: state.projection.contiguous()}))


def read_projection(folder: Path, size: int | None = None) -> Tensor | None:
    """The projection that lies in a folder, if one does.

    Args:
        size: dimensions of the encoder that it has to fit; None: not looked at.
    Raises:
        CheckpointError: damaged, or of another size.
    """
    path = folder / PROJECTION_FILE
    if not path.is_file():
        return None
    try:
        found = load_file(path)[PROJECTION]
    except (SafetensorError, KeyError) as error:
        raise CheckpointError(f"{path} can't be read: {error}; make the model again, or take the file away") from error
    if size is not None and found.shape != (size, size):
        raise CheckpointError(f"{path} holds a projection of {tuple(found.shape)}, and the encoder has {size} dimensions")
    return found
