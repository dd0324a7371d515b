"""Where a paragraph of English is cut into sentences: one rule that a person can read, and no parser."""

import re

# A sentence's end: . ! ? or …, then closing quotes and brackets, white space, and what can begin another one.
END = re.compile(r"[.!?…][\"'”’)\]]*(?=\s+[\"'“‘(\[]*[A-Z0-9À-ÖØ-Þ])")
# Words before a full stop that end no sentence.
ABBREVIATIONS = {
    "mr", "mrs", "ms", "dr", "prof", "rev", "hon", "gen", "col", "capt", "lt", "sgt", "sen", "rep", "gov", "pres", "st",
    "mt", "ft", "jr", "sr", "vs", "etc", "cf", "al", "inc", "ltd", "co", "corp", "dept", "univ", "approx", "ca", "e.g", "i.e",
    "viz",
}  # fmt: skip
# These end none before a digit: No. 7, Jan. 2. Elsewhere they do: the answer was no.
BEFORE_NUMBER = {
    "no", "nos", "vol", "p", "pp", "fig", "figs", "eq", "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct",
    "nov", "dec",
}  # fmt: skip
LAST_WORD = re.compile(r"[\w.]+$")
# One capital letter, or several with full stops between them: J. Smith, U.S. Senate.
INITIALS = re.compile(r"(?:[A-Z]\.)*[A-Z]$")


def split_paragraph(text: str) -> list[str]:
    """The sentences of a paragraph.

    A paragraph is cut after `.`, `!`, `?` or `…` (with the quotes and brackets that close there) where white space and a capital
    letter, a digit or an opening quote follow; not after an abbreviation (Mr., e.g., No.) or initials (J., U.S.). So a sentence
    that ends in `U.S.` stays with the next one: two in one are rarer than halves would be.

    Args:
        text: one paragraph, without line ends.

    Returns:
        Sentences without white space around them; none for a blank text.

    >>> split_paragraph('Dr. J. Smith left. "Why?" he asked. It was 3.5 km.')
    ['Dr. J. Smith left.', '"Why?" he asked.', 'It was 3.5 km.']
    """
    found, start = [], 0
    for match in END.finditer(text):
        if match.group()[0] == "." and _no_end(text, start, match.start()):
            continue
        found.append(text[start : match.end()].strip())
        start = match.end()
    rest = text[start:].strip()
    return [*found, rest] if rest else found


def _no_end(text: str, start: int, dot: int) -> bool:
    word = LAST_WORD.search(text[max(start, dot - 40) : dot])
    if word is None:
        return False
    plain = word.group().lower()
    numbered = plain in BEFORE_NUMBER and text[dot + 1 : dot + 9].lstrip()[:1].isdigit()
    return numbered or plain in ABBREVIATIONS or INITIALS.match(word.group()) is not None
