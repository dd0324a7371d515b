"""Check that two run folders hold the same test figures: python scripts/same_figures.py logs/runs/a logs/runs/b"""

import argparse
import json
import sys
from pathlib import Path


def figures(folder: Path) -> dict[str, object]:
    models = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["models"]
    # what a text run finds on held-out sentences needs its corpus, which an evaluation doesn't have
    kept = {model: {k: e for k, e in values.items() if not k.startswith("held_out/")} for model, values in models.items()}
    return {f"{model} {key}": entry["value"] for model, values in kept.items() for key, entry in values.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    arguments = parser.parse_args()
    first, second = figures(arguments.first), figures(arguments.second)
    different = [key for key in sorted(first.keys() | second.keys()) if first.get(key) != second.get(key)]
    for key in different[:20]:
        print(f"{key}: {first.get(key)} against {second.get(key)}")
    print(f"{len(first)} figures, {len(different)} differ")
    return 1 if different or not first else 0


if __name__ == "__main__":
    sys.exit(main())
