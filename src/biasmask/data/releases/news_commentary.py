"""News-Commentary: `news-commentary-v15.en.gz`, a sentence a line, or the pairs `news-commentary-v15.de-en.tsv.gz`."""

import re
from collections.abc import Iterator
from pathlib import Path

from biasmask.data.sentence_release import LINE_TOO_LONG, LONGEST, Sentence, SentenceRelease, stream_release
from biasmask.data.text_lines import lines_of
from biasmask.errors import DataError

PAIR = re.compile(r"\.([a-z]{2,3})-([a-z]{2,3})\.tsv(?:\.gz)?$")
NOT_TWO = "not two columns"


def read(
    source: Path, homepage: str, language: str = "en", encoding: str = "utf-8", longest: int = LONGEST
) -> SentenceRelease:
    """News-Commentary as WMT gives it out; a line is a sentence and isn't cut further.

    Where the file of one language is there, the pairs are left alone: they hold a part of the same sentences.

    Args:
        language: whose sentences are taken.
        encoding: of the files.
        longest: characters of a sentence that is kept.
    """
    plain = _files(source, f"news-commentary-*.{language}.gz") or _files(source, f"news-commentary-*.{language}")
    pairs = [path for path in _files(source, "news-commentary-*.tsv*") if language in _languages(path)]
    if not plain and not pairs:
        raise DataError(
            f"there is no news-commentary-v15.{language}.gz nor news-commentary-*-{language}.tsv.gz below {source}; "
            f"get it from {homepage}"
        )
    used = plain or pairs
    sentences = (s for path in used for s in (_lines if plain else _pairs)(path, source, language, encoding))
    return stream_release(sentences, (f"read: {', '.join(path.name for path in used)}",), longest=longest)


def _files(source: Path, pattern: str) -> list[Path]:
    return sorted(path for path in source.rglob(pattern) if path.is_file())


def _languages(path: Path) -> tuple[str, ...]:
    found = PAIR.search(path.name)
    return found.groups() if found else ()


def _lines(path: Path, source: Path, language: str, encoding: str) -> Iterator[Sentence]:
    name = path.relative_to(source).as_posix()
    for line, text in lines_of(path, encoding):
        yield Sentence(text or "", name, line, LINE_TOO_LONG if text is None else None)


def _pairs(path: Path, source: Path, language: str, encoding: str) -> Iterator[Sentence]:
    column, name = _languages(path).index(language), path.relative_to(source).as_posix()
    for line, text in lines_of(path, encoding):
        cells = (text or "").split("\t")
        if line == 1 and len(cells) != 2:
            raise DataError(f"{path} line 1: {len(cells)} columns, expected 2 with a tab between ({'-'.join(_languages(path))})")
        if text and len(cells) != 2:
            yield Sentence("", name, line, NOT_TWO)
        else:
            yield Sentence(cells[column] if text else "", name, line, LINE_TOO_LONG if text is None else None)
