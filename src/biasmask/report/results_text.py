"""Renders a Markdown text whose tables and numbers come from committed JSON files, so that nobody types a result."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, TemplateError

from biasmask.errors import ConfigError, StoreError
from biasmask.report.formats import interval, number, signed
from biasmask.report.sweep_formats import markdown_table
from biasmask.report.sweep_texts import (
    Content,
    TextTable,
    budget_table,
    difference_cells,
    difference_table,
    figure_table,
    nan,
    notes_of,
)

PARTS = ("figures", "vs_base", "vs_reference", "vs_control", "budget", "notes")


class Results:
    """The files of a folder, and what a template may ask of them.

    A file is a comparison (of scripts/compare_runs.py --name), a `table` as it was printed once, `lines` of a text, or `values`
    (name -> value, low, high). Rows are named by their id, by their method, or by `method[setting; setting]` with as many of the
    settings as tell them apart.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.files: dict[str, Content] = {}

    def content(self, name: str) -> Content:
        """A file by its name.

        Raises:
            StoreError: it isn't there, or is no JSON.
        """
        if name not in self.files:
            path = self.folder / f"{name}.json"
            try:
                self.files[name] = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                why = f"{path}: can't be read ({error}); scripts/compare_runs.py <sweep> --name {name} makes it"
                raise StoreError(why) from error
        return self.files[name]

    def helpers(self) -> dict[str, Callable[..., Any]]:
        """What a template may call."""
        names = (
            "table",
            "lines",
            "mean",
            "value",
            "spread",
            "values",
            "interval",
            "difference",
            "p",
            "wins",
            "n",
            "edited",
            "runs",
            "cell",
            "known",
            "change",
        )
        return {name: getattr(self, name) for name in names}

    def comparison(self, name: str, which: int = 0) -> Content:
        found = self.content(name).get("comparisons") or []
        if which >= len(found):
            raise ConfigError(f"{name}.json holds {len(found)} comparisons, and number {which} is asked for")
        return found[which]  # type: ignore[no-any-return]

    def row(self, name: str, wanted: str) -> Content:
        """A row of the first comparison.

        Raises:
            ConfigError: none or several rows have that name.
        """
        rows = self.comparison(name)["rows"]
        method, _, rest = wanted.rstrip("]").partition("[")
        asked = {part.strip() for part in rest.split(";") if part.strip()}
        found = [row for row in rows if row["id"] == wanted] or [
            row for row in rows if row["method"] == method and asked <= {part.strip() for part in row["setting"].split(",")}
        ]
        if len(found) != 1:
            known = ", ".join(row["id"] for row in rows)
            raise ConfigError(f"{name}.json: {len(found)} rows are named `{wanted}`; there are {known}")
        return found[0]  # type: ignore[no-any-return]

    def figure(self, name: str, row: str, key: str) -> Content:
        """A figure by its whole key, as test/auroc."""
        row_id = self.row(name, row)["id"]
        for test_set in self.comparison(name)["test_sets"]:
            if key in test_set["figures"].get(row_id, {}):
                return test_set["figures"][row_id][key]  # type: ignore[no-any-return]
        raise ConfigError(f"{name}.json: row `{row}` has no figure `{key}`")

    def table(self, name: str, *parts: str, test_set: str | None = None) -> str:
        """Tables of a comparison's test set (all parts unless named), or the table of a file that holds one."""
        content = self.content(name)
        if content.get("kind") == "table":
            lines = [content["header"], content.get("align") or ["---"] * len(content["header"]), *content["rows"]]
            return "\n".join("| " + " | ".join(line) + " |" for line in lines)
        comparison = self.comparison(name)
        chosen = next((own for own in comparison["test_sets"] if test_set in (None, own["key"])), None)
        if chosen is None:
            raise ConfigError(f"{name}.json has no test set `{test_set}`")
        made = [self.part(content, comparison, chosen, part) for part in parts or PARTS]
        return "\n\n".join(text for text in made if text)

    def part(self, content: Content, comparison: Content, test_set: Content, part: str) -> str:
        if part == "notes":
            return "\n\n".join(notes_of(comparison, test_set, content["confidence"]))
        tables: dict[str, Callable[[], TextTable]] = {
            "figures": lambda: figure_table(comparison, test_set),
            "vs_base": lambda: difference_table(comparison, test_set, "vs_base"),
            "vs_reference": lambda: difference_table(comparison, test_set, "vs_reference"),
            "vs_control": lambda: difference_table(comparison, test_set, "vs_control"),
            "budget": lambda: budget_table(comparison),
        }
        if part not in tables:
            raise ConfigError(f"a table has no part `{part}`: choose from {', '.join(PARTS)}")
        table = tables[part]()
        return f"{table.title}:\n\n{markdown_table(table)}" if table.rows else ""

    def lines(self, name: str) -> str:
        return "\n".join(self.content(name)["lines"])

    def mean(self, name: str, row: str, key: str, digits: int = 3) -> str:
        """Mean over runs."""
        return number(nan(self.figure(name, row, key)["mean"]), digits)

    value = mean

    def spread(self, name: str, row: str, key: str, digits: int = 3) -> str:
        """Standard deviation over runs."""
        return number(nan(self.figure(name, row, key)["spread"]), digits)

    def values(self, name: str, row: str, key: str, digits: int = 3) -> str:
        """The value of each run, in words."""
        texts = [number(nan(value), digits) for value in self.figure(name, row, key)["values"]]
        return " and ".join([", ".join(texts[:-1]), texts[-1]]) if len(texts) > 1 else texts[0]

    def interval(self, name: str, row: str, key: str, digits: int = 3) -> str:
        found = self.figure(name, row, key)
        return interval(nan(found["low"]), nan(found["high"]), digits)

    def difference(self, name: str, row: str, key: str, against: str = "base", digits: int = 3) -> str:
        """Mean change with its interval, against `base`, `reference` or `control`."""
        compared = self.compared(name, row, key, against)
        bounds = interval(nan(compared["low"]), nan(compared["high"]), digits, plus=True)
        return signed(nan(compared["value"]), digits) + (f" ({bounds})" if bounds else "")

    def p(self, name: str, row: str, key: str, against: str = "base") -> str:
        """p of the sign-flip test over runs, Holm's in brackets."""
        return difference_cells(self.compared(name, row, key, against))[1]

    def wins(self, name: str, row: str, key: str, against: str = "base") -> str:
        """In how many of its runs a row is better than what it is compared with."""
        found = self.compared(name, row, key, against)
        return f"{found['wins']} of {found['n_runs']}"

    def edited(self, name: str, row: str) -> str:
        """Entries that a row's runs edited, on average."""
        return f"{round(self.row(name, row)['edited']):,}"

    def compared(self, name: str, row: str, key: str, against: str) -> Content:
        found: Content | None = self.figure(name, row, key).get(f"vs_{against}")
        if found is None:
            raise ConfigError(f"{name}.json: figure `{key}` of row `{row}` has no difference to the {against}")
        return found

    def n(self, name: str, row: str, key: str) -> str:
        """Rows behind a figure."""
        return f"{self.figure(name, row, key)['n']:,}"

    def runs(self, name: str, row: str) -> str:
        return str(self.row(name, row)["n_runs"])

    def cell(self, name: str, row: str, column: str | int) -> str:
        """A cell of a file that holds a table, by the name of its row, or the first words of it, and its column."""
        content = self.content(name)
        named = [own for own in content["rows"] if own[0] == row]
        rows = named or [own for own in content["rows"] if own[0].startswith(row)]
        place = column if isinstance(column, int) else content["header"].index(column)
        if len(rows) != 1:
            raise ConfigError(f"{name}.json: {len(rows)} rows begin with `{row}`")
        return str(rows[0][place])

    def known(self, name: str, key: str, digits: int = 3) -> str:
        """A single value of a file that holds such."""
        return number(self.entry(name, key)["value"], digits)

    def change(self, name: str, key: str, digits: int = 3) -> str:
        """A single value with its sign and interval, where there is one."""
        found = self.entry(name, key)
        bounds = interval(found.get("low", math.nan), found.get("high", math.nan), digits, plus=True)
        return signed(found["value"], digits) + (f" ({bounds})" if bounds else "")

    def entry(self, name: str, key: str) -> Content:
        values = self.content(name)["values"]
        if key not in values:
            raise ConfigError(f"{name}.json has no value `{key}`: there are {', '.join(values)}")
        return values[key]  # type: ignore[no-any-return]


def render_results(template: Path, folder: Path) -> str:
    """The text of a template with tables and numbers filled in.

    Args:
        template: Jinja2 in Markdown; `{{ table("name") }}`, `{{ value("name", "row", "test/auroc") }}` and so on.
        folder: where `name.json` lie.

    Raises:
        ConfigError: the template asks for what isn't there.
        StoreError: a file can't be read.
    """
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    try:
        return environment.from_string(template.read_text(encoding="utf-8")).render(Results(folder).helpers())
    except (TemplateError, ValueError, TypeError) as error:
        raise ConfigError(f"{template.name}: {error}") from error
