"""Lines of a text file of any size, decoded, with their numbers; what can't be read is told by file and line."""

from collections.abc import Iterator
from pathlib import Path

from biasmask.data.sentence_files import chunks_of
from biasmask.errors import DataError


def lines_of(path: Path, encoding: str = "utf-8") -> Iterator[tuple[int, str | None]]:
    """Number (from 1) and text of each line of a file: plain, .gz or .bz2.

    Args:
        path: the file; no more than a few megabytes of it are in memory.
        encoding: of its lines.

    Returns:
        Lines without their ends, and None for a line of more than a million bytes.

    Raises:
        DataError: the file is cut off or can't be unpacked, or a line isn't in this encoding.

    >>> next(lines_of(Path(__file__)))[0]
    1
    """
    for chunk in chunks_of(path, 0):
        yield from ((line, None) for line in chunk.too_long)
        if chunk.data is None:
            continue
        for line, raw in enumerate(chunk.data.split(b"\n"), chunk.first_line):
            try:
                text = raw.decode(encoding)
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{path} line {line}, byte {error.start + 1}: not {encoding} ({error.reason}); "
                    "fetch the file again, convert it, or give the reader its encoding"
                ) from error
            yield line, text.removeprefix("\ufeff").removesuffix("\r")
