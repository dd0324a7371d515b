"""Wikipedia as WikiExtractor writes it: folders AA, AB, ... of `wiki_00` (or .bz2), with `<doc ...>` tags or JSON lines."""

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path

from biasmask.data.sentence_release import LINE_TOO_LONG, LONGEST, Sentence, SentenceRelease, stream_release
from biasmask.data.sentence_rule import split_paragraph
from biasmask.data.text_lines import lines_of
from biasmask.errors import DataError

DOC = re.compile(r'<doc id="[^"]*" .*?title="(.*)">$')
RULE = "paragraphs are cut after . ! ? … where a capital letter, a digit or a quote follows, abbreviations excepted"
HOW = "make it of the dump by `pip install wikiextractor` and `python -m wikiextractor.WikiExtractor DUMP --json -o FOLDER`"
Paragraph = tuple[int, str | None]  # line of the file, and its text; None = too long a line


def read(source: Path, homepage: str, encoding: str = "utf-8", longest: int = LONGEST, fewest_words: int = 3) -> SentenceRelease:
    """A dump that WikiExtractor made into text; titles are left away, HTML entities are written out.

    Args:
        encoding: of the files.
        longest: characters of a sentence that is kept.
        fewest_words: of a sentence that is kept; headings have one or two.
    """
    files = sorted(path for path in source.rglob("wiki_*") if path.is_file())
    if not files:
        raw = next((path for path in sorted(source.rglob("*pages-articles*")) if path.is_file()), None)
        if raw is not None:
            raise DataError(f"{raw} is a dump in wiki markup, and biasmask reads WikiExtractor's text (AA/wiki_00): {HOW}")
        raise DataError(f"there is no file wiki_00 below {source}; {HOW}; the dump is to be had at {homepage}")
    sentences = (sentence for path in files for sentence in _sentences(path, source, encoding))
    return stream_release(sentences, (f"read: {len(files):,} files", RULE), longest=longest, fewest_words=fewest_words)


def _sentences(path: Path, source: Path, encoding: str) -> Iterator[Sentence]:
    name = path.relative_to(source).as_posix()
    for line, paragraph in _paragraphs(path, encoding):
        if paragraph is None:
            yield Sentence("", name, line, LINE_TOO_LONG)
            continue
        for text in split_paragraph(html.unescape(html.unescape(paragraph))):  # a dump's text is escaped, and escaped again
            yield Sentence(text, name, line)


def _paragraphs(path: Path, encoding: str) -> Iterator[Paragraph]:
    """Paragraphs of either kind of file, told apart by the first sign in it."""
    lines = lines_of(path, encoding)
    for line, text in lines:
        if text is None:
            yield line, None
        elif text.startswith("{"):
            yield from _json_document(path, line, text)
        elif document := DOC.match(text):
            yield from _tagged_document(path, line, document[1], lines)
        elif text.strip():
            raise DataError(f"{path} line {line}: expected <doc id=... title=...> or a JSON object, got {text[:60]!r}")


def _json_document(path: Path, line: int, text: str) -> Iterator[Paragraph]:
    try:
        document = json.loads(text)
        content, title = document["text"], document.get("title")
    except (ValueError, KeyError, AttributeError) as error:
        raise DataError(f"{path} line {line}: not a whole JSON object with a text ({error}); run WikiExtractor again") from error
    for number, paragraph in enumerate(content.split("\n")):
        if paragraph.strip() and (number or paragraph.strip() != title):
            yield line, paragraph


def _tagged_document(path: Path, first: int, title: str, lines: Iterator[Paragraph]) -> Iterator[Paragraph]:
    for line, text in lines:
        if text is None:
            yield line, None
        elif text.strip() == "</doc>":
            return
        elif text.strip() and (line > first + 1 or text.strip() != title):
            yield line, text
    raise DataError(f"{path} line {first}: the document '{title}' has no </doc>: the file is cut off; run WikiExtractor again")
