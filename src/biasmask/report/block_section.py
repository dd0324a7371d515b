"""What a report says of a block mask: its settings and sums, heads cut whole, and the pictures of `plot_blocks`."""

from collections.abc import Mapping
from typing import Any

from biasmask.report.formats import count, small_number
from biasmask.report.plot_blocks import head_map, matrix_map, neuron_rows
from biasmask.report.provenance import share_words


def block_content(blocks: Mapping[str, Any] | None) -> dict[str, Any]:
    """What `blocks.html.j2` shows.

    Args:
        blocks: Content of `block_mask.json`; None where a run has none.
    """
    found = blocks or {}
    return {
        "blocks": blocks,
        "nothing_pruned": bool(blocks) and found.get("kept") == found.get("total"),
        "block_facts": block_facts(found),
        "matrix_map": matrix_map(found),
        "head_map": head_map(found),
        "neurons": neuron_rows(found),
        "whole_heads": whole_heads(found),
    }


def block_facts(blocks: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Settings and sums of the mask."""
    kept, total, pruned, weights = (blocks.get(name) for name in ("kept", "total", "weights_pruned", "weights_total"))
    size = blocks.get("block_size")
    pairs = [
        ("Structure", f"{blocks.get('structure')}, {size} x {size}" if size else blocks.get("structure")),
        ("Threshold on sigmoid(score)", None if blocks.get("threshold") is None else small_number(blocks["threshold"])),
        ("Blocks and neurons kept", None if kept is None else f"{count(kept)} of {count(total)}{share_words(kept, total)}"),
        (
            "Weights switched off",
            None if pruned is None else f"{count(pruned)} of {count(weights)}{share_words(pruned, weights)}",
        ),
    ]
    return [(name, str(value)) for name, value in pairs if value not in (None, "")]


def whole_heads(blocks: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Layers with heads that are pruned whole, and those heads."""
    heads: dict[int, list[str]] = {}
    for layer, head in blocks.get("whole_heads") or []:
        heads.setdefault(layer, []).append(str(head))
    return [(f"layer {layer}", ", ".join(names)) for layer, names in heads.items()]


def kept_words(blocks: Mapping[str, Any]) -> str:
    """What the mask kept, in one line.

    >>> kept_words({"kept": 30, "total": 40, "whole_heads": [[0, 1]]}).replace("\N{NO-BREAK SPACE}", " ")
    'Kept 30 of 40 blocks and neurons (75.0 %); pruned whole: 1 head.'
    """
    kept, total, pruned, weights = (blocks.get(name) for name in ("kept", "total", "weights_pruned", "weights_total"))
    text = f"Kept {count(kept)} of {count(total)} blocks and neurons{share_words(kept, total)}"
    if weights:
        text += f"; {count(pruned)} of {count(weights)} weights switched off{share_words(pruned, weights)}"
    whole = len(blocks.get("whole_heads") or [])
    return f"{text}; pruned whole: {whole} head{'' if whole == 1 else 's'}."
