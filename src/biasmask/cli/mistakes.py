"""One line about a mistyped override, with the nearest right one."""

import re
from collections.abc import Iterable
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from biasmask.cli.catalogue import CONFIGS, choices, groups, is_part
from biasmask.errors import ConfigError, near_names

OPEN_NODES = ("data.attributes", "model.args", "callbacks", "logger", "hydra")  # whose keys are the user's
ADDITION = re.compile(r"\+(?P<key>[\w.]+)=(?P<value>.*)", re.DOTALL)
MOST = 20  # names in a line


def mistake(error: BaseException) -> str | None:
    """One line about what Hydra refused; None for an error of another kind."""
    if isinstance(error, MissingConfigException) and error.options is not None:
        return unknown_choice(str(error.missing_cfg_file), error.options)
    if isinstance(error, OverrideParseException):
        return unreadable(error)
    cause = error.__cause__
    if isinstance(error, ConfigCompositionException) and isinstance(cause, OmegaConfBaseException):
        parent = getattr(cause, "parent_node", None)
        if cause.full_key and isinstance(parent, DictConfig) and "is not in struct" in str(cause):
            return unknown_key(str(cause.full_key), parent)
    if isinstance(error, HydraException | OmegaConfBaseException):
        return in_our_words(" ".join(f"{error} {cause or ''}".split()))
    return None


def unusable_word(words: Iterable[str]) -> str | None:
    """One line about a word that Hydra stumbles over without a message: no key, or a choice that is no name.

    >>> unusable_word(["seed=1", "+=pareto"])
    '+=pareto: there is no key before the ='
    """
    for word in words:
        key, equals, _ = word.lstrip("+~").partition("=")
        if equals and not key.strip():
            return f"{word}: there is no key before the ="
        if equals and key in groups():
            override = OverridesParser.create().parse_override(word)
            if not override.is_sweep_override() and not isinstance(override.value(), str | list):
                return unknown_choice(f"{key}/{word.partition('=')[2]}", ())
    return None


def in_our_words(told: str) -> str:
    """What Hydra says over several lines, in one.

    >>> in_our_words("Ambiguous value for argument 'attribute=a,b' 1. To use it as a list, ...")
    'attribute=a,b: several values make a sweep, which needs -m; one value that is a list is typed as [a,b], in quotes'
    """
    if match := re.match(r"Ambiguous value for argument '(?P<typed>[^']*)'", told):
        return f"{match['typed']}: several values make a sweep, which needs -m; one value that is a list is typed as " + (
            f"[{match['typed'].partition('=')[2]}], in quotes"
        )
    if match := re.match(r"Could not append to config. An item is already at '(?P<key>[^']*)'", told):
        return f"+{match['key']}: this key exists: leave out the +"
    return told


def unknown_choice(missing: str, options: Iterable[str]) -> str:
    """A line about a file that a group doesn't have.

    >>> unknown_choice("trainer/cpuu", ["cpu", "gpu"])
    'trainer=cpuu: there is no such choice; did you mean trainer=cpu? there are cpu, ddp, ...'
    """
    group, _, name = missing.partition("/")
    known = [choice.name for choice in choices(group)] if group in groups() else [str(option) for option in options]
    near = near_names(name, known, f"{group}={{}}")
    if len(known) <= MOST or not near:
        near = (near or ";") + f" there are {', '.join(known)}"
    return f"{group}={name}: there is no such choice{near}"


def unreadable(error: OverrideParseException) -> str:
    """A line about a word that is no override."""
    if "=" not in str(error.override):
        near = near_names(str(error.override), groups(), "{}=...")
        return f"{error.override}: write key=value or group=choice{near}"
    detail = str(error.message).splitlines()
    told = [line for line in detail if "overrid" not in line.lower() and not line.startswith("See ")]
    why = told[0] if told else "it can't be read"
    return f"{error.override}: {why}: quote a value with brackets, braces, commas or spaces, as in 'attribute=[sex,age]'"


def unknown_key(full_key: str, parent: DictConfig) -> str:
    """A line about a key that a node doesn't have: the nearest keys of this node, else where such a key is found.

    >>> config = OmegaConf.create({"seed": 1, "trainer": {"max_epochs": 3}})
    >>> unknown_key("trainer.max_epoch", config.trainer)
    'trainer.max_epoch: there is no such key; did you mean trainer.max_epochs?'
    >>> unknown_key("max_epochs", config)
    'max_epochs: there is no such key; did you mean trainer.max_epochs?'
    """
    node, _, key = full_key.rpartition(".")
    shape = f"{node}.{{}}" if node else "{}"
    own = [str(name) for name in parent if name not in ("hydra", "_target_")]
    near = near_names(key, [*own, *([] if node else groups())], shape)
    return f"{full_key}: there is no such key{near or elsewhere(key, node, parent) or listing(own, node)}"


def elsewhere(key: str, node: str, parent: DictConfig) -> str:
    """A clause on nodes of the configuration that have such a key, or on choices of the group whose files do."""
    places = dict(nodes_with_keys(parent._get_root()))
    found = [f"{place}.{key}" if place else key for place, keys in places.items() if key in keys]
    if found:
        return f"; did you mean {' or '.join(found[:3])}?"
    for group in [node.partition(".")[0]] if node else groups():
        for path in sorted((CONFIGS / group).glob("*.yaml")):
            keys = re.findall(r"^(\w+):", path.read_text(encoding="utf-8"), re.MULTILINE)
            if is_part(path.stem) or (key not in keys and not node):
                continue
            if node and key in keys:
                return f"; it is one of {group}={path.stem} and others"
            if near := near_names(key, keys, f"{node or group}.{{}}"):
                return f"{near[:-1]}, a key of {group}={path.stem} and others?"
    return ""


def nodes_with_keys(node: Any, place: str = "") -> Iterable[tuple[str, list[str]]]:
    """Every mapping of a configuration with its keys; Hydra's own are left out."""
    if not isinstance(node, DictConfig) or node._is_none() or node._is_missing() or node._is_interpolation():
        return
    yield place, [str(name) for name in node]
    for name in node:
        if not (place == "" and name == "hydra"):
            yield from nodes_with_keys(node._get_node(name), f"{place}.{name}" if place else str(name))


def listing(own: list[str], node: str) -> str:
    return f"; {node or 'the top level'} has {', '.join(own[:MOST])}" if own else ""


def require_read(config: DictConfig, overrides: Iterable[str]) -> None:
    """Refuse `+key=value` where nothing would ever read the key: a slip that would change nothing in silence.

    Free are keys below a node with a `_target_`, whose class refuses what it doesn't know, those of nodes that are the user's own
    (attributes, arguments of the network, callbacks, loggers), and new nodes with a `_target_`. `++` adds without a question.

    Raises:
        ConfigError: such a key.
    """
    for override in overrides:
        match = ADDITION.fullmatch(override)
        if match is None or match["key"].startswith("+"):
            continue
        node, _, key = match["key"].rpartition(".")
        if key in ("_target_", *groups()) or "_target_" in match["value"] or _is_open(config, node):
            continue
        parent = OmegaConf.select(config, node) if node else config
        known = [str(name) for name in parent if name != key] if isinstance(parent, DictConfig) else []
        near = near_names(key, known, f"{node}.{{}}" if node else "{}") or listing(known, node)
        raise ConfigError(f"+{match['key']}: nothing reads such a key{near}; ++{match['key']}=... adds it all the same")


def _is_open(config: DictConfig, node: str) -> bool:
    if any(node == name or node.startswith(f"{name}.") for name in OPEN_NODES):
        return True
    parts = node.split(".") if node else []
    above = [OmegaConf.select(config, ".".join(parts[:depth])) for depth in range(1, len(parts) + 1)]
    return any(isinstance(place, DictConfig) and "_target_" in place for place in above)
