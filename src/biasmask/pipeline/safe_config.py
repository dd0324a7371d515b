"""What a configuration may call: a `_target_` names any function of Python, and a run folder may come from anybody."""

from collections.abc import Iterator, Sequence
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from biasmask.errors import ConfigError

# What a command's own configuration may build.
KNOWN = (
    "biasmask.", "torch.optim.", "torch.nn.", "torchvision.transforms.", "torchmetrics.", "timm.optim.", "timm.scheduler.",
    "lightning.Trainer", "lightning.pytorch.", "lightning.fabric.", "transformers.optimization.", "sklearn.linear_model.",
)  # fmt: skip
# What the data node that is stored in a checkpoint may build: it is somebody else's, and is read as evaluation starts.
SOURCES = ("biasmask.data.table.TableSource", "biasmask.data.own_table.own_table", "biasmask.data.rendered.RenderedLesions")


def require_known_targets(node: Any, allowed: Sequence[str] | None, where: str = "") -> None:
    """Refuse a `_target_` outside of the packages that biasmask uses.

    Args:
        node: the composed configuration, or a part of it.
        allowed: further packages, modules or names (`allow_targets` of the command).
        where: what the key in the error begins with.
    Raises:
        ConfigError: the key and the target.

    >>> require_known_targets({"optimizer": {"_target_": "torch.optim.SGD"}}, [])
    """
    _require(node, (*KNOWN, *(allowed or ())), where, "the packages that biasmask uses")


def require_stored_sources(node: Any, allowed: Sequence[str] | None, where: str) -> None:
    """Refuse what a stored data node must not hold: a `_target_` that is no data source of ours, and interpolations.

    Raises:
        ConfigError: the key and what stands there.

    >>> require_stored_sources({"source": {"_target_": "os.system"}}, [], "x.ckpt")
    Traceback (most recent call last):
    ...
    biasmask.errors.ConfigError: x.ckpt: source._target_ is os.system, which is none of the data sources of biasmask; ...
    """
    _require(node, (*SOURCES, *(allowed or ())), where, "the data sources of biasmask")
    for key, value in _texts(_plain(node)):
        if "${" in value:
            raise ConfigError(f"{where}: {key} is {value!r}: what a run stores holds no interpolation; the file was changed")


def _require(node: Any, known: Sequence[str], where: str, what: str) -> None:
    plain = _plain(node)
    for key, value in _texts(plain):
        if key.rpartition(".")[2] != "_target_":
            continue
        if "${" in value and OmegaConf.is_config(node):
            value = str(OmegaConf.select(node, key))
        if not any(value == name or value.startswith(name.rstrip(".") + ".") for name in known):
            place = f"{where}: {key}" if where else key
            root = value.split(".")[0]
            raise ConfigError(
                f"{place} is {value}, which is none of {what}; it would be called: where you trust it, allow it with "
                f"allow_targets=[{root}]"
            )


def _plain(node: Any) -> Any:
    return OmegaConf.to_container(node, resolve=False) if isinstance(node, DictConfig | ListConfig) else node


def _texts(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every string of a tree with its dotted key."""
    if isinstance(node, str):
        yield path, node
    elif isinstance(node, dict | list | tuple):
        items = node.items() if isinstance(node, dict) else enumerate(node)
        for name, value in items:
            yield from _texts(value, f"{path}.{name}" if path else str(name))
