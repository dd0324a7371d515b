"""What a configuration may call: a `_target_` names any function of Python, and a run folder may come from anybody."""

import importlib
import inspect
from collections.abc import Iterator, Sequence
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from biasmask.errors import ConfigError

# Whose classes a command's own configuration may build.
KNOWN = (
    "biasmask.", "torch.optim.", "torch.nn.", "torchvision.transforms.", "torchmetrics.", "timm.optim.", "timm.scheduler.",
    "transformers.optimization.", "sklearn.linear_model.", "fairlearn.", "lightning.Trainer", "lightning.pytorch.callbacks.",
    "lightning.pytorch.loggers.", "lightning.pytorch.plugins.", "lightning.pytorch.profilers.", "lightning.pytorch.strategies.",
)  # fmt: skip
# Ours that are functions: the others write files, fetch and unpack.
FUNCTIONS = ("biasmask.data.own_table.own_table", "biasmask.data.releases.")
# What the data node that is stored in a checkpoint may build: it is somebody else's, and is read as evaluation starts.
SOURCES = ("biasmask.data.table.TableSource", "biasmask.data.own_table.own_table", "biasmask.data.rendered.RenderedLesions")
LEAVE = "allow_targets"


def require_known_targets(node: Any, allowed: Sequence[str] | None, where: str = "") -> None:
    """Refuse a `_target_` that is no class of the packages that biasmask uses.

    The name must lead to a class (or one of a few functions) by way of modules alone: `biasmask.files.os.system` begins well too.

    Args:
        node: the composed configuration, or a part of it; it is looked at as it is once interpolations are resolved.
        allowed: further packages, modules or names: see `allowed_targets`.
        where: what the key in the error begins with.
    Raises:
        ConfigError: the key and the target.

    >>> require_known_targets({"optimizer": {"_target_": "torch.optim.SGD"}}, [])
    """
    for key, value in _targets(_resolved(node)):
        if not (_is_known(value) or _is_allowed(value, allowed)):
            _refuse(key, value, where, "no class of the packages that biasmask uses")


def require_stored_sources(node: Any, allowed: Sequence[str] | None, where: str) -> None:
    """Refuse what a stored data node must not hold: a `_target_` that is no data source of ours, and interpolations.

    Raises:
        ConfigError: the key and what stands there.

    >>> require_stored_sources({"source": {"_target_": "os.system"}}, [], "x.ckpt")
    Traceback (most recent call last):
    ...
    biasmask.errors.ConfigError: x.ckpt: source._target_ is os.system, which is none of the data sources of biasmask; ...
    """
    require_no_interpolation(node, where)
    for key, value in _targets(_plain(node)):
        if value not in SOURCES and not _is_allowed(value, allowed):
            _refuse(key, value, where, "none of the data sources of biasmask", "name the data yourself, as data=..., or ")


def require_no_interpolation(node: Any, where: str) -> None:
    """Refuse `${...}` in what a run stored, which is resolved: it could read the environment of whoever opens the folder.

    Raises:
        ConfigError: the key and what stands there.
    """
    for key, value in _texts(_plain(node)):
        if "${" in value:
            raise ConfigError(f"{where}: {key} is {value!r}: what a run stores holds no interpolation; the file was changed")


def allowed_targets(config: DictConfig) -> list[str]:
    """What `allow_targets` gives leave for, where it was typed: a file can't give leave to itself.

    Raises:
        ConfigError: a file sets it.
    """
    given = list(config.get(LEAVE) or [])
    typed = any(word.lstrip("+").startswith(f"{LEAVE}=") for word in HydraConfig.get().overrides.task)
    if given and not typed:
        raise ConfigError(
            f"{LEAVE}=[{','.join(given)}] stands in a file, which would give leave to itself: type it on the command line"
        )
    return [str(name) for name in given]


def _is_known(name: str) -> bool:
    """Whether the name is a class of a known package, or a function that may be called, found in modules alone."""
    module, _, last = name.rpartition(".")
    if not name.startswith(KNOWN) or any(part.startswith("_") for part in name.split(".")):
        return False
    try:
        found = getattr(importlib.import_module(module), last)
    except (ImportError, AttributeError):
        return False
    if inspect.isclass(found):
        roots: tuple[str, ...] = tuple(f"{prefix.split('.')[0]}." for prefix in KNOWN)
        return found.__module__.startswith(roots)
    ours = name.startswith(("biasmask.", "lightning."))
    return inspect.isfunction(found) and (name.startswith(FUNCTIONS) if ours else f"{found.__module__}.".startswith(KNOWN))


def _is_allowed(name: str, allowed: Sequence[str] | None) -> bool:
    return any(name == given or name.startswith(f"{given.rstrip('.')}.") for given in allowed or ())


def _refuse(key: str, value: str, where: str, what: str, instead: str = "") -> None:
    place = f"{where}: {key}" if where else key
    raise ConfigError(
        f"{place} is {value}, which is {what}; it would be called: {instead}where you trust it, allow it with "
        f"{LEAVE}=[{value.split('.')[0]}]"
    )


def _targets(plain: Any) -> Iterator[tuple[str, str]]:
    return ((key, value) for key, value in _texts(plain) if key.rpartition(".")[2] == "_target_")


def _plain(node: Any) -> Any:
    return OmegaConf.to_container(node, resolve=False) if isinstance(node, DictConfig | ListConfig) else node


def _resolved(node: Any) -> Any:
    """Interpolations can make a whole node (`${oc.decode:...}`), so a name is looked for in what they give."""
    if not isinstance(node, DictConfig | ListConfig):
        return node
    try:
        return OmegaConf.to_container(node, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(" ".join(str(error).split())) from error


def _texts(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every string of a tree with its dotted key."""
    if isinstance(node, str):
        yield path, node
    elif isinstance(node, dict | list | tuple):
        items = node.items() if isinstance(node, dict) else enumerate(node)
        for name, value in items:
            yield from _texts(value, f"{path}.{name}" if path else str(name))
