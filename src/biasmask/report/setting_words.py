"""What tells the settings of one method apart, in as few words as do it."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any


def setting_words(settings: Sequence[Mapping[str, Any]], typed: Collection[str] = ()) -> list[str]:
    """Name settings by what differs: the typed keys, and others only where these don't tell them apart.

    Args:
        settings: dotted key -> value, one mapping a setting, all of them different.
        typed: keys that stood on a command line.

    Returns:
        One text a setting, all distinct; empty where there is one setting only.

    >>> setting_words([{"debias.edit_fraction": 0.1, "a": 1}, {"debias.edit_fraction": 0.5, "a": 1}])
    ['edit_fraction=0.1', 'edit_fraction=0.5']
    """
    if len(settings) < 2:
        return [""] * len(settings)
    keys = dict.fromkeys(key for own in settings for key in own)
    differing = [key for key in keys if len({repr(own.get(key)) for own in settings}) > 1]
    rest = sorted((key for key in differing if key not in typed), key=lambda key: (key.count("."), key))
    chosen = [key for key in differing if key in typed]
    while len(set(words_of(chosen, settings))) < len(settings) and rest:
        chosen.append(rest.pop(0))
    for key in sorted(chosen, key=len, reverse=True):  # what the others tell already isn't said
        others = [other for other in chosen if other != key]
        if len(set(words_of(others, settings))) == len(settings):
            chosen = others
    return words_of(chosen, settings)


def words_of(keys: Sequence[str], settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """The values of some settings in words, for each of several runs."""
    return [", ".join(f"{short(key, keys)}={own.get(key, 'null')}" for key in keys) for own in settings]


def short(key: str, keys: Sequence[str]) -> str:
    """A setting's key for a reader: its last parts, as many as tell it from the others.

    >>> short("debias.repair.epochs", ["debias.repair.epochs", "debias.impair.epochs"]), short("debias.edit_fraction", [])
    ('repair.epochs', 'edit_fraction')
    """
    parts = key.split(".")
    names = [".".join(parts[-depth:]) for depth in range(1, len(parts) + 1)]
    others = [f".{other}" for other in keys if other != key]
    return next((name for name in names if not any(other.endswith(f".{name}") for other in others)), key)
