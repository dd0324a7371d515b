"""What a text run hands to others: plain Hugging Face folders, dense and slim."""

from pathlib import Path

from rich.console import Console

from biasmask.errors import ConfigError
from biasmask.models.slim import save_slim, slim
from biasmask.pipeline.text_state import TextState, save_encoder, save_tokenizer
from biasmask.report.terminal import tell


def write_exports(run_dir: Path, state: TextState, console: Console) -> dict[str, int] | None:
    """Write `debiased_hf` (zeroed weights in plain layers) and, where heads or neurons went as a whole, `slim_hf` without them.

    Returns:
        Parameters of the `dense` and the `slim` model; None where nothing could be removed.
    """
    save_encoder(run_dir / "debiased_hf", state)
    info = state.mask_info
    if state.masks is None or info is None:
        return None
    if not info["whole_heads"] and all(row["kept"] == row["total"] for row in info["neurons"]):
        return None
    net = state.network()
    dense = sum(parameter.numel() for parameter in net.parameters())
    try:
        removed = slim(net, state.masks)
    except ConfigError as error:
        tell(console, "slim model", str(error))
        return None
    save_slim(run_dir / "slim_hf", net, removed)
    save_tokenizer(run_dir / "slim_hf", state)
    return {"dense": dense, "slim": sum(parameter.numel() for parameter in net.parameters())}
