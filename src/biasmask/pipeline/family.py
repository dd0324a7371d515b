"""Which family a path belongs to; light, so that an image run imports nothing of the text family."""

import json
from pathlib import Path

from biasmask.errors import CheckpointError


def is_text(path: Path) -> bool:
    """Whether a path is a run of the text family, or a folder of a Hugging Face model.

    Raises:
        CheckpointError: a damaged JSON file.
    """
    for name, key, value in (("run.json", "family", "text"), ("config.json", "model_type", None)):
        file = path / name
        if file.is_file():
            try:
                content = json.loads(file.read_text(encoding="utf-8"))
            except ValueError as error:
                raise CheckpointError(f"{file} is damaged: {error}") from error
            if isinstance(content, dict) and (content.get(key) == value if value else key in content):
                return True
    return False
