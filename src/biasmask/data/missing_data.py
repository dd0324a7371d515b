"""What a person is told when a data set is not there: which file was looked for, where to get it, what prepares it."""

from pathlib import Path

from biasmask.errors import DataError


def how_to_get(root: Path, homepage: str | None, prepare_script: str | None) -> str:
    """The half sentence that leads from a missing file to a working data folder.

    >>> how_to_get(Path("data/mine"), None, None)
    'check the path'
    """
    steps = []
    if homepage:
        steps.append(f"get the data from {homepage}")
    if prepare_script:
        steps.append(f"prepare it with `python {prepare_script} --source <your download> --output {root.parent}`")
        steps.append(f"or point paths.data_dir at the folder that holds {root.name}/")
    return ", ".join(steps) or "check the path"


def missing_table(name: str, path: Path, root: Path, homepage: str | None, prepare_script: str | None) -> DataError:
    """The error for a table file that is not there (or is a folder), in one line.

    >>> str(missing_table("mine", Path("mine.csv"), Path("."), None, None))
    "data set 'mine': there is no table file mine.csv; check the path"
    """
    what = f"{path} is a folder, not a table file" if path.is_dir() else f"there is no table file {path}"
    return DataError(f"data set '{name}': {what}; {how_to_get(root, homepage, prepare_script)}")


def missing_images(
    name: str, count: int, first: Path, root: Path, homepage: str | None, prepare_script: str | None
) -> DataError:
    """The error for a table none of whose images is there, in one line."""
    return DataError(
        f"data set '{name}': none of the {count} images of the table was found; the first one looked for is {first}; "
        f"{how_to_get(root, homepage, prepare_script)}"
    )
