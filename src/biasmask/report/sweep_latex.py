"""A comparison of runs as LaTeX tables."""

import re
import textwrap

from biasmask.report.sweep_formats import STARRED, tables_of
from biasmask.report.sweep_texts import Content, TextTable, budget_table, notes_of

TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "±": r"$\pm$",
    "†": r"$\dagger$", "\N{MINUS SIGN}": "$-$", "–": "--", "|": r"\textbar{}",
}  # fmt: skip
WIDEST = 17  # letters of a line in the head of a table
LINE_END = r"\\"


def latex(content: Content) -> str:
    """Tables for the packages booktabs and graphicx, each with the notes that it needs."""
    parts = ["% Made by scripts/compare_runs.py; needs \\usepackage{booktabs,graphicx}."]
    for comparison in content["comparisons"]:
        own = [f"Note: {note}." for note in comparison["notes"]]
        for test_set in comparison["test_sets"]:
            notes = notes_of(comparison, test_set, content["confidence"])
            for place, table in enumerate(tables_of(comparison, test_set)):
                caption = f"{comparison['title']}; {test_set['key']}: {table.title}."
                label = f"tab:{comparison['id']}-{test_set['key']}-{place}"
                parts.append(latex_table(table, caption, label, [*notes, *(own if place == 0 else [])]))
        caption, label = f"{comparison['title']}: budget.", f"tab:{comparison['id']}-budget"
        parts.append(latex_table(budget_table(comparison), caption, label, [STARRED]))
    left_out = [f"{entry['folder']}: {entry['why']}" for entry in content["skipped"]]
    if left_out:
        parts.append(f"{{\\footnotesize Left out: {tex('; '.join(left_out))}.\\par}}")
    return "\n\n".join(parts) + "\n"


def latex_table(table: TextTable, caption: str, label: str, notes: list[str]) -> str:
    """A table as wide as the page at most: brackets go into a second line, and what is still too wide shrinks."""
    name = re.sub("[^a-z0-9:_-]", "-", label.lower())
    lines = [
        "\\begin{table}", "\\centering\\small\\setlength{\\tabcolsep}{4pt}", f"\\caption{{{tex(caption)}}}", f"\\label{{{name}}}",
        "\\resizebox{\\ifdim\\width>\\textwidth\\textwidth\\else\\width\\fi}{!}{%",
        f"\\begin{{tabular}}{{l{'r' * (len(table.header) - 1)}}}", "\\toprule", head(table.header), "\\midrule",
        *(line for row in table.rows for line in two_lines(row)), "\\bottomrule", "\\end{tabular}}", "\\par\\smallskip",
        *(f"{{\\footnotesize {tex(note)}\\par}}" for note in notes), "\\end{table}",
    ]  # fmt: skip
    return "\n".join(lines)


def two_lines(row: list[str]) -> list[str]:
    """A row, and its brackets (intervals, Holm's p) in a row of their own below it; the first cell is a name and stays whole.

    >>> two_lines(["a (b)", "0.5 (0.4 to 0.6)"])
    ['a (b) & 0.5 \\\\\\\\', ' & (0.4 to 0.6) \\\\\\\\']
    """
    first, *rest = row
    parts = [cell.partition(" (") for cell in rest]
    below = [f"({end}" if mark else "" for _, mark, end in parts]
    return [tex_row([first, *(start for start, _, _ in parts)]), *([tex_row(["", *below])] if any(below) else [])]


def tex_row(cells: list[str]) -> str:
    return f"{' & '.join(map(tex, cells))} {LINE_END}"


def head(names: list[str]) -> str:
    """The names of the columns, each broken into lines no wider than an interval below it.

    >>> head(["", "runs", "Equal-opportunity gap (TPR)"])
    ' & runs & \\\\shortstack[r]{Equal-opportunity\\\\\\\\gap (TPR)} \\\\\\\\'
    """
    cells = []
    for name in names:
        lines = [tex(line) for line in textwrap.wrap(name, WIDEST, break_long_words=False, break_on_hyphens=False)]
        cells.append(rf"\shortstack[r]{{{LINE_END.join(lines)}}}" if len(lines) > 1 else "".join(lines))
    return f"{' & '.join(cells)} {LINE_END}"


def tex(text: str) -> str:
    r"""A text with what LaTeX would take for commands escaped.

    >>> tex("50 % of a_b")
    '50 \\% of a\\_b'
    """
    parts = text.replace("\N{NO-BREAK SPACE}", " ").split("--")  # two hyphens would become a dash
    return "-{}-".join("".join(TEX.get(letter, letter) for letter in part) for part in parts)
