"""Turn base weights into debiased ones, or back: python scripts/apply_delta.py base.pt delta.safetensors debiased.pt"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "src"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path, help="a timm state dict or a checkpoint of a run: base or debiased")
    parser.add_argument("delta", type=Path, help="delta.safetensors of the run")
    parser.add_argument("out", type=Path, help="where to write the other side, a plain state dict")
    arguments = parser.parse_args()

    import torch

    from biasmask.errors import BiasmaskError
    from biasmask.models.weights import plain_state_dict, read_checkpoint
    from biasmask.pipeline.export import apply_delta_file

    try:
        weights = plain_state_dict(read_checkpoint(arguments.weights), arguments.weights)
        torch.save(apply_delta_file(weights, arguments.delta), arguments.out)
    except BiasmaskError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"wrote {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
