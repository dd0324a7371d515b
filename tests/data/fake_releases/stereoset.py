"""StereoSet: dev.json with both parts; one item has two gaps."""

import json
from pathlib import Path

ROWS = 36
LEFT_OUT = {"items, not rows: not exactly one gap": 1}
WORDS = {"stereotype": "nurse", "anti-stereotype": "pilot", "unrelated": "tea"}


def item(number: int, context: str) -> dict[str, object]:
    filled = [
        {"sentence": context.replace("BLANK", word), "id": f"{number}-{label}", "gold_label": label,
         "labels": [{"label": label, "human_id": "h"}] * 5}
        for label, word in WORDS.items()
    ]  # fmt: skip
    domain = ("gender", "profession", "race", "religion")[number % 4]
    return {"id": str(number), "target": f"term{number % 6}", "bias_type": domain, "context": context, "sentences": filled}


def write(root: Path) -> Path:
    inside = [item(number, f"The person {number} is a BLANK today.") for number in range(12)]
    inside.append(item(12, "The BLANK is a BLANK."))
    content = {"version": "1.0-dev", "data": {"intersentence": [item(0, "A person.")], "intrasentence": inside}}
    (root / "data").mkdir(parents=True)
    (root / "data" / "dev.json").write_text(json.dumps(content, indent=2), encoding="utf-8")
    return root
