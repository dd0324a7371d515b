"""Text encoders of Hugging Face: found, loaded, built again from their parts, and asked for embeddings.

Letters: B sentences, T tokens, D dimensions.
"""

import importlib.util
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from biasmask.errors import CheckpointError, ConfigError
from biasmask.models.float_attention import FloatAttention

TOKENIZER_FILES = (
    *("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model", "bpe.codes"),
)


def find_encoder(model_name: str, package: str | None = None, package_folder: str | None = None) -> str:
    """Where an encoder is to be had: a folder, or a name of the Hugging Face hub.

    Args:
        model_name: `packaged`, a folder, or a name such as `bert-base-uncased`.
        package, package_folder: for `packaged`: the Python package, and the folder inside it.
    Raises:
        ConfigError: the package isn't installed, or a path is named that doesn't exist.
    """
    if model_name == "packaged":
        found = importlib.util.find_spec(package) if package else None
        if found is None or not found.submodule_search_locations:
            raise ConfigError(
                f"model.model_name=packaged: the package {package} isn't installed; `make setup-text` installs it, or name a "
                "folder or a Hugging Face model"
            )
        return str(Path(next(iter(found.submodule_search_locations))) / (package_folder or ""))
    if Path(model_name).is_dir():
        return model_name
    if model_name.startswith((".", "/", "~")) or model_name.count("/") > 1:
        raise ConfigError(f"model.model_name={model_name}: there is no such folder")
    return model_name


def load_encoder(source: str) -> tuple[nn.Module, Any]:
    """The model, with its masked-LM head where the checkpoint has one, and its fast tokenizer.

    Args:
        source: a folder or a hub name, see `find_encoder`.
    Returns:
        The model in eval mode (float32, CPU), and the tokenizer.
    Raises:
        CheckpointError: unreadable, no tokenizer in the folder, or no such model within reach.
        ConfigError: the tokenizer gives no character offsets.
    """
    folder = Path(source)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise CheckpointError(f"model folder {folder} has no config.json: give a folder that save_pretrained wrote")
        if not any((folder / name).is_file() for name in TOKENIZER_FILES):
            raise CheckpointError(
                f"model folder {folder} has no tokenizer (none of {', '.join(TOKENIZER_FILES[:3])}, ...): save it there with "
                "tokenizer.save_pretrained"
            )
    with quiet_transformers():
        try:
            config = transformers.AutoConfig.from_pretrained(source, trust_remote_code=False)
            head = any(name.endswith("ForMaskedLM") for name in (config.architectures or []))
            auto = transformers.AutoModelForMaskedLM if head else transformers.AutoModel
            net = auto.from_pretrained(source, config=config, dtype=torch.float32, trust_remote_code=False)
            tokenizer = transformers.AutoTokenizer.from_pretrained(source, trust_remote_code=False)
        except Exception as error:  # transformers raises classes of many libraries here
            detail = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise CheckpointError(f"model {source} can't be loaded: {detail}; without a network give a folder") from error
    require_offsets(tokenizer)
    return net.eval(), tokenizer


def require_offsets(tokenizer: Any) -> None:
    """Refuse a tokenizer that can't tell which characters a token stands for."""
    if not getattr(tokenizer, "is_fast", False):
        raise ConfigError(
            f"tokenizer {type(tokenizer).__name__} gives no character offsets, by which keywords are found: use a fast one "
            "(a folder with tokenizer.json)"
        )


def build_encoder(model_class: str, config: dict[str, Any], weights: dict[str, Tensor] | None = None) -> nn.Module:
    """A model from its class name and configuration, with the given weights.

    Raises:
        CheckpointError: transformers knows no such class, or the weights don't fit.
    """
    made = getattr(transformers, model_class, None)
    if made is None:
        raise CheckpointError(f"transformers {transformers.__version__} has no class {model_class}")
    with quiet_transformers():
        net = made(made.config_class.from_dict(config))
    if weights is not None:
        try:
            net.load_state_dict(weights)
        except RuntimeError as error:
            raise CheckpointError(f"the weights don't fit {model_class}: {str(error).splitlines()[-1].strip()}") from error
    return net.eval()


def base_of(net: nn.Module) -> nn.Module:
    """The encoder without a head of a task: what gives hidden states."""
    return net.base_model  # type: ignore[return-value]


def hidden_states(net: nn.Module, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
    """Outputs of the embedding layer and of each encoder layer, each (B, T, D)."""
    with FloatAttention():
        return base_of(net)(input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=True).hidden_states


@torch.no_grad()
def embed_texts(
    net: nn.Module,
    tokenizer: Any,
    texts: Sequence[str],
    max_length: int = 128,
    tokens_per_batch: int = 4096,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int], None] | None = None,
    projection: Tensor | None = None,
) -> dict[str, Tensor]:
    """Sentence embeddings of the last layer by two poolings.

    Texts are sorted by length and padded to the longest of their batch, which changes no embedding.

    Args:
        net: the model; run in eval mode, left as it was.
        texts: any number of sentences; longer ones are cut at `max_length` tokens.
        tokens_per_batch: sentences times longest, at most (one sentence at least).
        progress: called with (done, total).
        projection: (D, D), applied to the last layer's tokens before pooling; None: none.
    Returns:
        `cls`: (N, D) the first token. `mean`: (N, D) mean over the tokens but padding. float32 on the CPU.
    """
    if not len(texts):
        size = base_of(net).config.hidden_size
        return {"cls": torch.zeros(0, size), "mean": torch.zeros(0, size)}
    encoded = tokenizer(list(texts), truncation=True, max_length=max_length)["input_ids"]
    order = sorted(range(len(texts)), key=lambda i: len(encoded[i]))
    encoder = base_of(net)
    was_training, home = net.training, next(net.parameters()).device
    net.to(device).eval()
    found: dict[str, list[Tensor]] = {"cls": [], "mean": []}
    done = 0
    try:
        for rows in batches_by_tokens(order, [len(encoded[i]) for i in order], tokens_per_batch):
            batch = tokenizer.pad({"input_ids": [encoded[i] for i in rows]}, return_tensors="pt")
            mask = batch["attention_mask"].to(device)
            last = encoder(input_ids=batch["input_ids"].to(device), attention_mask=mask).last_hidden_state.float()
            if projection is not None:
                last = last @ projection.to(last)
            found["cls"].append(last[:, 0].cpu())
            found["mean"].append(((last * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)).cpu())
            done += len(rows)
            if progress is not None:
                progress(done, len(texts))
    finally:
        net.to(home).train(was_training)
    back = torch.empty(len(order), dtype=torch.long)
    back[torch.tensor(order)] = torch.arange(len(order))
    return {name: torch.cat(parts)[back] for name, parts in found.items()}


def batches_by_tokens(order: Sequence[int], lengths: Sequence[int], tokens_per_batch: int) -> Iterator[list[int]]:
    """Cut an ascending order into batches of at most so many tokens, padding included.

    >>> list(batches_by_tokens([4, 2, 7], [1, 2, 5], 6))
    [[4, 2], [7]]
    """
    rows: list[int] = []
    for row, length in zip(order, lengths, strict=True):
        if rows and (len(rows) + 1) * length > tokens_per_batch:
            yield rows
            rows = []
        rows.append(row)
    if rows:
        yield rows


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No bars and no remarks of transformers on what is meant here, such as a pooler that a checkpoint lacks."""
    from transformers.utils import logging

    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()
