"""What does the change of one part do alone? python scripts/part_effect.py logs/runs/bmft_ham10000/<time> --by block

Base weights, and the run's change in one part of the network only; then everywhere but there; beside as many changed entries
drawn at random. No training. Prints a table and writes part_effect.json and part_effect.html. See docs/bias_map.md
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "src"))

from rich.console import Console

from biasmask.errors import BiasmaskError
from biasmask.files import write_json
from biasmask.pipeline.part_effect import write_part_effect
from biasmask.pipeline.setup import progress_bar
from biasmask.report.bias_map import GROUPINGS
from biasmask.report.part_effect_page import effect_rows, effect_table, read_part_effect, write_part_effect_page
from biasmask.report.sweep_validation import table_content


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--by", choices=GROUPINGS, default="block", help="how the network is cut (default: block)")
    parser.add_argument("--split", default="val", help="rows of an image run to judge on (default: val)")
    parser.add_argument("--draws", type=int, default=3, help="random choices of as many entries for each part (default: 3)")
    parser.add_argument("--seed", type=int, default=0, help="of these draws")
    parser.add_argument("--most", type=int, default=20, help="parts at most; those that changed least are taken together")
    parser.add_argument("--sentences", type=int, default=200, help="held-out sentences of each kind for an encoder, at most")
    parser.add_argument("--out", type=Path, help="where the files go (default: the run folder)")
    parser.add_argument("--name", help="write the table as NAME.json into --out as well, for the documentation")
    asked = parser.parse_args()
    try:
        with progress_bar("judge", True) as update:
            file = write_part_effect(
                asked.run, asked.by, asked.split, asked.draws, asked.seed, asked.most, asked.out, asked.sentences, update
            )
        content = read_part_effect(file)
        Console().print(effect_table(content))
        if asked.name:
            table = table_content(effect_rows(content), "scripts/part_effect.py")
            write_json(file.with_name(f"{asked.name}.json"), table)
        print(file, write_part_effect_page(content, file.with_suffix(".html")), sep="\n")
    except BiasmaskError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
