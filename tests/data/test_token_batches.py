"""Parts and batches of sentences: as many of each kind, no sentence on both sides, little padding, one process or several."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from biasmask.data.sentence_splits import split_sentences
from biasmask.data.sentences import SentenceTable
from biasmask.data.token_batches import OrderedBatches, PairedBatches, ordered_batches, ordered_loader, sentence_loader
from biasmask.data.word_lists import make_word_lists
from biasmask.errors import DataError
from tests.data.tiny_tokenizers import tiny_bert

LISTS = make_word_lists("small", {"male": ["king"], "female": ["queen"]}, ["nurse"])
COUNTS = {"king": 120, "queen": 60, "nurse": 45}


def texts_of(counts):
    rng = np.random.default_rng(0)
    return [f"{word} {number} " + "hair " * int(rng.integers(1, 40)) for word, count in counts.items() for number in range(count)]


@pytest.fixture(scope="module")
def table():
    return SentenceTable.from_texts(texts_of(COUNTS), LISTS, tiny_bert())


def sizes(parts):
    return {part: tuple(len(rows) for rows in parts[part].values()) for part in ("train", "held_out")}


def test_parts_are_balanced_disjoint_and_of_their_kind(table):
    parts = split_sentences(table, seed=0, held_out=8)
    assert sizes(parts) == {"train": (37, 37, 37), "held_out": (8, 8, 8)} and parts["notes"] == []
    for kind in table.kinds:
        train, held = parts["train"][kind], parts["held_out"][kind]
        assert not set(train) & set(held) and set(train) | set(held) <= set(table.rows(kind))
        assert np.array_equal(train, np.sort(train)) and train.dtype == np.int64


def test_seed_alone_decides_and_more_rows_hold_fewer(table):
    one, same, other = (split_sentences(table, seed, 8) for seed in (0, 0, 1))
    few = split_sentences(table, 0, 8, per_kind=5)
    for kind in table.kinds:
        assert np.array_equal(one["train"][kind], same["train"][kind])
        assert not np.array_equal(one["held_out"][kind], other["held_out"][kind])
        assert np.array_equal(few["held_out"][kind], one["held_out"][kind]) and set(few["train"][kind]) <= set(one["train"][kind])


def test_without_balance_and_with_a_cap(table):
    assert sizes(split_sentences(table, 0, 8, balance=False))["train"] == (112, 52, 37)
    assert sizes(split_sentences(table, 0, 8, per_kind=50, balance=False))["train"] == (50, 50, 37)
    assert sizes(split_sentences(table, 0, 0))["held_out"] == (0, 0, 0)


def test_too_few_shrink_the_held_out_part_and_say_so(table):
    parts = split_sentences(table, 0)
    assert sizes(parts) == {"train": (36, 36, 36), "held_out": (9, 9, 9)}
    assert parts["notes"] == ["9 sentences of each kind held out instead of 1,000: stereotype has 45"]
    with pytest.raises(DataError, match="1 different sentence of the kind stereotype"):
        split_sentences(SentenceTable.from_texts([*texts_of({"king": 2, "queen": 2}), "nurse", "nurse"], LISTS, tiny_bert()), 0)
    with pytest.raises(DataError, match="held_out=-1"):
        split_sentences(table, 0, -1)


def test_doubles_never_stand_on_both_sides():
    texts = texts_of(dict.fromkeys(COUNTS, 20))
    table = SentenceTable.from_texts([*texts, *texts, "  " + texts[0] + " "], LISTS, tiny_bert())
    parts = split_sentences(table, 0, 4)
    used = [table.text(row) for part in ("train", "held_out") for rows in parts[part].values() for row in rows]
    assert len(used) == len(set(used)) == 60 and parts["notes"] == ["61 sentences left out: the same text stands before"]


@pytest.mark.parametrize("batch_size", [3, 10, 12, 32, 500])
def test_every_kind_has_the_same_share_of_every_batch(table, batch_size):
    rows = split_sentences(table, 0, 8)["train"]
    batches = PairedBatches(table, rows, batch_size, seed=1)
    walked = list(batches)
    assert len(walked) == len(batches) and max(map(len, walked)) <= batch_size
    for batch in walked:
        assert len(set(np.bincount(table.kind[batch], minlength=3))) == 1
    assert sorted(sum(walked, [])) == sorted(np.concatenate(list(rows.values())))  # each row once
    assert max(map(len, walked)) - min(map(len, walked)) <= 3


def test_unequal_kinds_draw_anew_each_epoch(table):
    rows = {kind: table.rows(kind) for kind in table.kinds}
    batches = PairedBatches(table, rows, 12)
    epochs = []
    for epoch in range(3):
        batches.set_epoch(epoch)
        epochs.append(set(sum(batches, [])))
    assert all(len(seen) == 3 * 45 and set(rows["stereotype"]) <= seen for seen in epochs)
    assert epochs[0] != epochs[1] and len(set.union(*epochs)) > 3 * 45


def test_same_seed_and_epoch_give_the_same_batches(table):
    rows = split_sentences(table, 0, 8)["train"]
    batches = PairedBatches(table, rows, 12, seed=1)
    first = list(batches)
    assert first == list(PairedBatches(table, rows, 12, seed=1)) and first != list(PairedBatches(table, rows, 12, seed=2))
    batches.set_epoch(1)
    assert list(batches) != first
    batches.set_epoch(0)
    assert list(batches) == first


def test_sentences_of_a_batch_are_of_similar_length(table):
    rows = split_sentences(table, 0, 8)["train"]

    def padding(batches):
        lengths = [table.lengths[batch] for batch in batches]
        return sum(int((one.max() - one).sum()) for one in lengths) / sum(len(one) * int(one.max()) for one in lengths)

    paired = list(PairedBatches(table, rows, 12))
    shuffled = np.random.default_rng(0).permutation(np.concatenate(paired))
    assert padding(paired) < 0.5 * padding(np.split(shuffled[:108], 9))


def test_ranks_together_walk_the_batches_of_one_process(table):
    rows = split_sentences(table, 0, 8)["train"]
    one = list(PairedBatches(table, rows, 12, seed=1))
    ranks = [list(PairedBatches(table, rows, 12, seed=1, rank=rank, world_size=3)) for rank in range(3)]
    assert [ranks[number % 3][number // 3] for number in range(len(one))] == one
    even = [PairedBatches(table, rows, 12, seed=1, rank=rank, world_size=4, even=True) for rank in range(4)]
    assert len({len(batches) for batches in even}) == 1


def test_batches_that_cannot_hold_every_kind(table):
    rows = {kind: table.rows(kind) for kind in table.kinds}
    with pytest.raises(DataError, match="batch_size=2"):
        PairedBatches(table, rows, 2)
    with pytest.raises(DataError, match="kind female"):
        PairedBatches(table, {**rows, "female": []}, 6)


@pytest.mark.parametrize("tokens", [1, 50, 400, 10**6])
def test_ordered_batches_hold_each_row_once_within_their_tokens(table, tokens):
    rows = np.arange(len(table))[::-1]
    batches = list(ordered_batches(table, rows, tokens))
    assert sorted(torch.cat([batch["row"] for batch in batches]).tolist()) == list(range(len(table)))
    assert all(batch["input_ids"].numel() <= tokens or len(batch["row"]) == 1 for batch in batches)
    widths = [batch["input_ids"].shape[1] for batch in batches]
    assert widths == sorted(widths, reverse=True)
    loaded = list(ordered_loader(table, rows, tokens))
    assert [batch["row"].tolist() for batch in loaded] == [batch["row"].tolist() for batch in batches]


def test_ordered_batches_of_nothing_and_without_room():
    few = SimpleNamespace(lengths=np.array([3]))
    assert list(OrderedBatches(few, [], 10)) == []
    with pytest.raises(DataError, match="tokens_per_batch=0"):
        OrderedBatches(few, [0], 0)


def test_loader_gives_whole_batches_and_passes_the_epoch_on(table):
    rows = split_sentences(table, 0, 8)["train"]
    sampler = PairedBatches(table, rows, 12)
    loader = sentence_loader(table, sampler)
    assert loader.batch_sampler.sampler is sampler  # where Lightning looks for set_epoch
    for batch, chosen in zip(loader, sampler, strict=True):
        assert batch["row"].tolist() == chosen and batch["input_ids"].shape == batch["keyword_mask"].shape
    plain = list(sentence_loader(table, [5, 1, 9], 2))
    assert [batch["row"].tolist() for batch in plain] == [[5, 1], [9]]
    with pytest.raises(DataError, match="batch_size"):
        sentence_loader(table, [5, 1, 9])
