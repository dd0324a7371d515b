"""The pages of `info=...`: experiments, methods, data sets and metrics, a line each."""

from biasmask.cli.catalogue import choices
from biasmask.errors import ConfigError, near_names


def experiments() -> str:
    """Every experiment with what it is, and the paper, data and time that its header names."""
    lines = ["experiment=... (times: all stages on 2 busy CPU cores; decoding and judging come on top)", ""]
    found = choices("experiment")
    width = max(len(choice.name) for choice in found)
    for choice in found:
        fields = "; ".join(f"{name}: {choice.fields[name]}" for name in ("paper", "data", "time") if name in choice.fields)
        lines.append(f"{choice.name:<{width}}  {choice.about} [{fields}]")
    return "\n".join(lines)


def methods() -> str:
    """Every method, rival and control."""
    return listed("debias", "debias=... (text/...: for text encoders)")


def data() -> str:
    """Every data set."""
    return listed("data", "data=...")


def listed(group: str, title: str) -> str:
    """The choices of a group under a title, a line each."""
    found = choices(group)
    width = max(len(choice.name) for choice in found)
    return "\n".join([title, "", *(f"{choice.name:<{width}}  {choice.about}" for choice in found)])


def metrics() -> str:
    """Every figure of metrics.json, and which way is better."""
    from biasmask.report import metric_names, text_tables  # pandas comes with them

    better = {1: "higher is better", -1: "lower is better", 0: "neither way is better"}
    lines = ["Figures of metrics.json (docs/metrics.md: formulas, and when each is wrong)", ""]
    for title, names in (("Images:", metric_names.NAMES), ("Text encoders:", text_tables.NAMES)):
        width = max(map(len, names))
        lines += [title, *(f"  {name:<{width}}  {known.label}, {better[known.direction]}" for name, known in names.items())]
    return "\n".join(lines)


PAGES = {"experiments": experiments, "methods": methods, "data": data, "metrics": metrics}


def info_page(name: str) -> str:
    """The page of a name.

    Raises:
        ConfigError: there is no such page.

    >>> info_page("data").splitlines()[0]
    'data=...'
    >>> info_page("method")
    Traceback (most recent call last):
    biasmask.errors.ConfigError: info=method: there is no such list; did you mean info=methods? there are experiments, ...
    """
    if name not in PAGES:
        near = near_names(name, PAGES, "info={}") or ";"
        raise ConfigError(f"info={name}: there is no such list{near} there are {', '.join(PAGES)}")
    return PAGES[name]()
