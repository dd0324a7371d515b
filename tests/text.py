"""Tiny parts of the text family for tests: a 2-layer BERT with a word tokenizer, a corpus, word lists."""

from pathlib import Path
from typing import Any

import yaml

MALE = ("he", "man", "father", "king", "son")
FEMALE = ("she", "woman", "mother", "queen", "daughter")
JOBS = ("nurse", "engineer", "teacher", "pilot", "clerk", "baker")
FILLERS = ("the", "a", "old", "young", "walks", "reads", "likes", "sees", "tea", "books", "home", "today", "and", "very", "good")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def word_tokenizer() -> Any:
    """A fast tokenizer of whole lower-cased words."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = [*SPECIAL, *MALE, *FEMALE, *JOBS, *FILLERS, "is", "this", "that", "person", "name", ".", ",", "'", "s"]
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(dict.fromkeys(words))}, unk_token="[UNK]"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=made, model_max_length=64, **names)


def write_bert(folder: Path, masked_lm: bool = False, seed: int = 0) -> Path:
    """A random BERT of 2 layers, 32 dimensions and 4 heads with its tokenizer, as a folder of Hugging Face."""
    import torch
    from transformers import BertConfig, BertForMaskedLM, BertModel

    from biasmask.models.text_encoder import quiet_transformers

    tokenizer = word_tokenizer()
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=64, pad_token_id=0,
    )  # fmt: skip
    torch.manual_seed(seed)
    net = (BertForMaskedLM if masked_lm else BertModel)(config)
    for parameter in net.parameters():  # weights of 0.02 give outputs that all look alike
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    with quiet_transformers():
        net.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def sentences(number: int = 40) -> list[str]:
    """So many sentences of each kind, and some that no list knows."""
    found = []
    for i in range(number):
        filler = " ".join(FILLERS[(i // 3**k + k) % len(FILLERS)] for k in range(2 + i % 5))
        for words in (MALE, FEMALE, JOBS, ("tea",)):
            found.append(f"the {words[i % len(words)]} {filler} .")
    return found


def write_corpus(folder: Path, number: int = 40) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "corpus.txt").write_text("\n".join(sentences(number)) + "\n", encoding="utf-8")
    return folder / "corpus.txt"


def write_lists(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    content = {"groups": {"male": list(MALE), "female": list(FEMALE)}, "stereotype": list(JOBS)}
    (folder / "words.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return folder / "words.yaml"


def write_probe(folder: Path) -> Path:
    lines = ["text,target"] + [
        f"the old {'tea' if i % 2 else 'books'} {FILLERS[i % 15]} {FILLERS[(3 * i) % 15]},{i % 2}" for i in range(60)
    ]
    (folder / "probe.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "probe.csv"


def text_overrides(folder: Path, masked_lm: bool = False) -> list[str]:
    """A text run of seconds on parts of its own."""
    if not (folder / "bert").is_dir():
        write_bert(folder / "bert", masked_lm)
        write_corpus(folder)
        write_lists(folder)
        write_probe(folder)
    return [
        "family=text", "backbone=text_encoder", "baseline=none", "metrics=text", "data=text_corpus", "trainer=cpu",
        "trainer.precision=32-true", "logger=none", "progress=false", "threads=1", f"model.model_name={folder / 'bert'}",
        f"data.files={folder / 'corpus.txt'}", f"attribute={folder / 'words.yaml'}", "data.held_out=6", "data.processes=1",
        "metrics.n_bootstrap=20", "metrics.n_draws=200", f"metrics.probe_table={folder / 'probe.csv'}",
        "metrics.seat_folder=null",
        "metrics.benchmarks=false", "prune_block_size=16",
    ]  # fmt: skip
