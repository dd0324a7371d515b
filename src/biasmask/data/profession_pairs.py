"""WinoBias and BEC-Pro: sentences of a profession that differ in the gender of a person, with the places of both words."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from biasmask.data.bias_benchmarks import benchmark_file
from biasmask.data.read_table import read_table
from biasmask.errors import DataError

GENDER_OF_PRONOUN = {
    **dict.fromkeys(("he", "him", "his", "himself"), "male"),
    **dict.fromkeys(("she", "her", "hers", "herself"), "female"),
}
# Person words of BEC-Pro that differ in gender alone.
FEMALE_OF = {
    "he": "she",
    "man": "woman",
    "brother": "sister",
    "son": "daughter",
    "husband": "wife",
    "boyfriend": "girlfriend",
    "father": "mother",
    "uncle": "aunt",
    "dad": "mom",
}
PROFESSION_GENDERS = ("male", "female", "balanced")
BRACKETED = re.compile(r"\[([^\]]*)\]")
WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class PersonSentence:
    """A sentence, and where (start, end in characters) its person word and its profession word are."""

    text: str
    person: tuple[int, int]
    profession: tuple[int, int]


@dataclass(frozen=True)
class ProfessionPair:
    """One sentence about a man and about a woman.

    Args:
        kind: type1 or type2 (WinoBias), or the template (BEC-Pro).
        profession: in lower case, without article.
        profession_gender: the gender the profession is mostly held by: male, female or balanced.
    """

    kind: str
    profession: str
    profession_gender: str
    male: PersonSentence
    female: PersonSentence


@dataclass(frozen=True)
class ProfessionPairs:
    """The pairs that can be used, and how many can't, by reason."""

    pairs: tuple[ProfessionPair, ...]
    excluded: dict[str, int]


def read_winobias(
    folder: Path | str | None = None, types: tuple[str, ...] = ("type1", "type2"), splits: tuple[str, ...] = ("dev", "test")
) -> ProfessionPairs:
    """WinoBias: sentences of two professions and a pronoun, once as the stereotype has it and once against.

    The person word is the first pronoun in brackets, the profession the noun in brackets before it. The gender of a
    profession is that of the pronoun in the stereotyped sentence.

    Args:
        folder: holds pro_stereotyped_type1.txt.dev and its siblings; None = the package.
        types: type1 (the pronoun is told by meaning) and type2 (by syntax).
        splits: dev, test.

    Returns:
        ProfessionPairs; left out, and counted, are pairs that differ in more than pronouns.

    Raises:
        DataError: no file, files of different length, a line without a profession and a pronoun in brackets.

    Source: Zhao et al. 2018.
    """
    pairs, excluded = [], Counter[str]()
    for kind in types:
        for split in splits:
            files = [benchmark_file("WinoBias", f"{side}_stereotyped_{kind}.txt.{split}", folder) for side in ("pro", "anti")]
            pro, anti = (_lines(file) for file in files)
            if len(pro) != len(anti):
                raise DataError(f"{files[0]} has {len(pro)} lines, {files[1].name} has {len(anti)}: they must match line by line")
            for number, lines in enumerate(zip(pro, anti, strict=True), start=1):
                found = [_winobias_sentence(line, file, number) for line, file in zip(lines, files, strict=True)]
                genders = [_gender(sentence) for sentence in found]
                if genders[0] == genders[1] or _without_gender(found[0]) != _without_gender(found[1]):
                    excluded["the two sentences differ in more than pronouns"] += 1
                    continue
                by_gender = dict(zip(genders, found, strict=True))
                start, end = found[0].profession
                profession = found[0].text[start:end].lower()
                pairs.append(ProfessionPair(kind, profession, genders[0], by_gender["male"], by_gender["female"]))
    return ProfessionPairs(tuple(pairs), dict(excluded))


def read_bec_pro(folder: Path | str | None = None) -> ProfessionPairs:
    """BEC-Pro, English: 5 templates, 9 pairs of person words, 20 professions each held by men, by women and by both.

    Args:
        folder: holds BEC-Pro_EN.tsv; None = the package.

    Returns:
        ProfessionPairs; left out, and counted, are sentences without a partner of the other gender.

    Raises:
        DataError: no file, a missing column, an unknown person or gender, a word that isn't in its sentence.

    Source: Bartl et al. 2020.
    """
    path = benchmark_file("BEC-Pro", "BEC-Pro_EN.tsv", folder)
    columns = ["Sentence", "Template", "Person", "Profession", "Prof_Gender"]
    raw = read_table(path, text_columns=columns)
    for column in columns:
        if column not in raw.frame:
            raise DataError(f"{path} has no column '{column}': expected {', '.join(columns)}")
    known = {word: ("male", word) for word in FEMALE_OF} | {female: ("female", male) for male, female in FEMALE_OF.items()}
    found: dict[tuple[str, str, str, str], dict[str, PersonSentence]] = {}
    for line, (text, template, person, profession, holds) in zip(raw.lines, raw.frame[columns].values.tolist(), strict=True):
        where = f"{path} line {line}"
        if str(person).lower() not in known:
            raise DataError(f"{where}, column 'Person': '{person}' isn't known; expected one of {', '.join(sorted(known))}")
        if holds not in PROFESSION_GENDERS:
            raise DataError(f"{where}, column 'Prof_Gender': expected {', '.join(PROFESSION_GENDERS)}, got {holds!r}")
        gender, key = known[person.lower()]
        sentence = PersonSentence(text, _place(person, text, where), _place(profession, text, where))
        found.setdefault((template, key, profession, holds), {})[gender] = sentence
    pairs = [
        ProfessionPair(template, profession.lower(), holds, both["male"], both["female"])
        for (template, _, profession, holds), both in found.items()
        if len(both) == 2
    ]
    lost = len(found) - len(pairs)
    return ProfessionPairs(tuple(pairs), {"no partner of the other gender": lost} if lost else {})


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise DataError(f"{path} isn't UTF-8 (byte {error.start}): save it as UTF-8") from error
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror}") from error


def _winobias_sentence(line: str, path: Path, number: int) -> PersonSentence:
    """`3 The chief hired [the assistant] because [she] ...` without number and brackets, with the places of both words."""
    marked = re.sub(r"^\d+\s+", "", line.strip())
    # A slip of the published files: an article before and inside the bracket.
    marked = re.sub(r"\bthe \[the ", "[the ", marked)
    text, places, end = "", [], 0
    for match in BRACKETED.finditer(marked):
        text += marked[end : match.start()]
        words = match.group(1).strip()
        places.append((len(text), len(text) + len(words)))
        text, end = text + words, match.end()
    text += marked[end:]
    person = next((place for place in places if text[slice(*place)].lower() in GENDER_OF_PRONOUN), None)
    noun = next((place for place in places if text[slice(*place)].lower() not in GENDER_OF_PRONOUN), None)
    if person is None or noun is None:
        raise DataError(f"{path} line {number}: expected a profession and a pronoun in brackets, got {line!r}")
    article = re.match(r"(?:the|an?)\s+", text[slice(*noun)], re.IGNORECASE)
    return PersonSentence(text, person, (noun[0] + (article.end() if article else 0), noun[1]))


def _gender(sentence: PersonSentence) -> str:
    return GENDER_OF_PRONOUN[sentence.text[slice(*sentence.person)].lower()]


def _without_gender(sentence: PersonSentence) -> str:
    return WORD.sub(lambda match: "*" if match.group().lower() in GENDER_OF_PRONOUN else match.group(), sentence.text)


def _place(word: str, text: str, where: str) -> tuple[int, int]:
    match = re.search(rf"\b{re.escape(word)}\b", text, re.IGNORECASE)
    if match is None:
        raise DataError(f"{where}: '{word}' isn't in the sentence {text!r}")
    return match.span()
