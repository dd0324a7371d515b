"""The table that a data configuration makes of a data folder, and what it holds: for the preparation, and for tests."""

from pathlib import Path
from typing import Any

from biasmask.data.attributes import encode_attribute
from biasmask.data.checker import CheckReport, check_table
from biasmask.data.table import Table, TableSource


def data_config(config: Path) -> Any:
    """A data configuration with those that its `defaults` name below it, as Hydra composes them; not resolved."""
    from omegaconf import OmegaConf

    own = OmegaConf.load(config)
    whole = OmegaConf.create({})
    for entry in own.pop("defaults", ["_self_"]):
        part = own if entry == "_self_" else data_config(config.with_name(f"{entry}.yaml"))
        whole = OmegaConf.merge(whole, part)
    return whole


def load_config(config: Path, data_dir: Path, **changes: Any) -> tuple[Table, CheckReport]:
    """The table that a data config makes of a data folder, and the checker's report on its reported attributes.

    Args:
        config: a file of configs/data.
        data_dir: what `paths.data_dir` is to be.
        changes: keys of the config that are to have another value.

    Raises:
        DataError: what the table's source or its attributes raise.
    """
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    tree = OmegaConf.create({"paths": {"data_dir": str(data_dir)}, "data": OmegaConf.merge(data_config(config), changes)})
    source: TableSource = instantiate(tree.data.source)
    table = source.load()
    definitions = OmegaConf.to_container(tree.data.attributes, resolve=True)
    return table, check_table(table, [encode_attribute(name, definitions, table) for name in tree.data.report_attributes])


def count_lines(report: CheckReport) -> list[str]:
    """Lines of text with the rows per split, attribute, group and target."""
    lines = [f"{report.table}: {report.rows} images"]
    for split, attributes in report.counts.items():
        whole = ", ".join(f"{count} {name}" for name, count in report.splits[split]["target"].items())
        lines.append(f"  {split}: {report.splits[split]['rows']} images, {report.splits[split]['subjects']} subjects ({whole})")
        for attribute, cells in attributes.items():
            for group, by_class in cells.items():
                if group != "(missing)" or any(by_class.values()):
                    counted = ", ".join(f"{count} {name}" for name, count in by_class.items())
                    lines.append(f"    {attribute}={group}: {counted}")
    return lines
