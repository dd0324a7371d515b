"""Readers of files that come from others, each as a function of bytes: it reads them, or ends in an error of biasmask."""

import io
import json
import random
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biasmask.errors import BiasmaskError, ConfigError
from tests.conftest import compose_config


@dataclass(frozen=True)
class Target:
    """A reader, the suffix of its files, and files that it reads without an error."""

    read: Callable[[Path], object]
    suffix: str
    seeds: Callable[[], list[bytes]]


def try_bytes(target: Target, content: bytes, folder: Path) -> bool:
    """Whether the bytes could be read; any exception that is none of ours gets out."""
    path = folder / f"fuzzed{target.suffix}"
    path.write_bytes(content)
    try:
        target.read(path)
        return True
    except BiasmaskError as error:
        if "\n" in str(error):
            raise AssertionError(f"an error of two lines: {error}") from error
        return False


def mutate(content: bytes, draw: random.Random) -> bytes:
    """The bytes with a few places flipped, cut out, doubled, or overwritten by what breaks readers."""
    out = bytearray(content)
    for _ in range(draw.randint(1, 4)):
        at, length = draw.randint(0, len(out)), draw.randint(1, 16)
        kind = draw.randrange(5)
        if kind == 0 and out:
            out[at % len(out)] ^= 1 << draw.randrange(8)
        elif kind == 1:
            del out[at : at + length]
        elif kind == 2:
            out[at:at] = out[at : at + length]
        elif kind == 3:
            out[at : at + length] = draw.choice(NASTY)
        else:
            del out[at:]
    return bytes(out)


NASTY = [
    b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b'"', b"\n\n", b"\r", b",,,", b"../", b"NaN", b"1e999", b"-0", b"9" * 30, b"{", b"[",
    b"\\", b"\xed\xa0\x80", b"null", b"!!python/object:os.system", b"&a *a", b"\x80\x04",
]  # fmt: skip


def _table(path: Path) -> object:
    from biasmask.data.attributes import encode_attribute
    from biasmask.data.own_table import own_table

    for number in range(12):
        (path.parent / f"{number}.jpg").touch()
    shares = {"debias": 0.5, "val": 0.25, "test": 0.25}
    table = own_table(str(path), target="target", images=str(path.parent), fractions=shares).load()
    return encode_attribute("sex", None, table)


def _tables() -> list[bytes]:
    rows = "".join(f"{n}.jpg,{n % 2},{'fm'[n // 2 % 2]},s{n}\n" for n in range(12))
    text = "image,target,sex,subject\n" + rows
    return [text.encode(), text.replace(",", ";").encode(), ("\ufeff" + text).encode(), text.replace("f,", '"f",').encode()]


def _parquet() -> list[bytes]:
    import pandas as pd

    out = io.BytesIO()
    pd.DataFrame({"image": ["a", "b"], "target": [0, 1], "sex": ["f", "m"]}).to_parquet(out)
    return [out.getvalue()]


def _read_any(path: Path) -> object:
    from biasmask.data.read_table import read_table

    return read_table(path, ["image"])


def _checkpoint(path: Path) -> object:
    from biasmask.models.weights import plain_state_dict, read_checkpoint

    return plain_state_dict(read_checkpoint(path), path)


def _torch_files() -> list[bytes]:
    import torch

    found = []
    for zipped in (True, False):
        out = io.BytesIO()
        torch.save({"state_dict": {"net.weight": torch.ones(2, 3)}, "n": 1}, out, _use_new_zipfile_serialization=zipped)
        found.append(out.getvalue())
    return found


def _safetensors() -> list[bytes]:
    import torch
    from safetensors.torch import save

    return [save({"weight": torch.ones(2, 3), "bias": torch.zeros(2)})]


def _words(path: Path) -> object:
    from biasmask.data.word_lists import load_word_lists

    return load_word_lists(path)


def _seat(path: Path) -> object:
    from biasmask.data.seat import read_seat

    return read_seat(path)


def _seat_files() -> list[bytes]:
    side = {"category": "a", "examples": ["this is a man", "that is a man"]}
    return [json.dumps({key: side for key in ("targ1", "targ2", "attr1", "attr2")}).encode()]


def _texts(path: Path) -> object:
    from biasmask.data.labelled_texts import read_labelled_texts

    return read_labelled_texts(path)


def _unpack(path: Path) -> object:
    from biasmask.data.unpack import unpack

    with tempfile.TemporaryDirectory() as folder:
        inside = Path(folder) / "deep" / "inside"
        try:
            return unpack(path, inside)
        finally:
            outside = [p for p in Path(folder).rglob("*") if p != inside.parent and not p.is_relative_to(inside)]
            assert not outside, outside


def _archives() -> list[bytes]:
    zipped, tarred = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/b.txt", b"hello" * 20)
    with tarfile.open(fileobj=tarred, mode="w:gz") as packed:
        info = tarfile.TarInfo("a/b.txt")
        info.size = 5
        packed.addfile(info, io.BytesIO(b"hello"))
    return [zipped.getvalue(), tarred.getvalue()]


JUNK = [
    None, True, -1, 0, 10**12, float("nan"), "", "x", "../..", "${oc.env:HOME}", [], [None], {}, {"_target_": "os.system"}, 1j,
    b"x",
]  # fmt: skip


def _own_checkpoint(path: Path) -> object:
    """A checkpoint of ours in which the bytes say what is replaced by junk, or left out."""
    import torch

    from biasmask.pipeline.checkpoints import load_model
    from biasmask.pipeline.eval_run import threshold_of
    from biasmask.pipeline.safe_config import require_stored_sources
    from biasmask.pipeline.setup import attribute_names

    told, changed, content = path.read_bytes(), path.with_suffix(".ckpt"), _own_content()
    draw = random.Random(told)
    for _ in range(draw.randint(1, 3) if told else 0):
        node: Any = content
        while isinstance(node, dict | list) and node:
            key = draw.choice(list(node)) if isinstance(node, dict) else draw.randrange(len(node))
            if draw.random() < 0.5 or not isinstance(node[key], dict | list):
                if draw.random() < 0.3:
                    del node[key]
                else:
                    node[key] = draw.choice(JUNK)
                break
            node = node[key]
    torch.save(content, changed)
    about = load_model(changed)[1]
    require_stored_sources(about.get("data"), [], str(changed))
    return threshold_of(about, "base"), attribute_names(about.get("attribute"))


def _own_content() -> dict[str, Any]:
    import timm
    import torch

    torch.manual_seed(0)
    state = timm.create_model("test_resnet", num_classes=1).state_dict()
    plain = {"backbone": "test_resnet", "image_size": 32, "mean": [0.5] * 3, "std": [0.5] * 3, "num_outputs": 1}
    settings = {"n_bootstrap": 20, "confidence": 0.95, "seed": 0, "threshold_rule": "balanced_accuracy"}
    decision = {"kind": "thresholds", "attribute": "sex", "seed": 1, "groups": {"f": {}}, "pooled": {}}
    source = {"_target_": "biasmask.data.rendered.RenderedLesions", "n": {"test": 8}}
    about = {"threshold": 0.5, "attribute": ["sex"], "class_names": ["a", "b"], "data": {"source": source}, "metrics": settings}
    return {
        "state_dict": {f"net.{name}": tensor for name, tensor in state.items()},
        "hyper_parameters": {**plain, "model_args": {"drop_rate": 0.0}, "channels_last": False},
        "biasmask": {**about, "decision": decision},
    }


def _overrides(path: Path) -> object:
    """What is typed behind `src/train.py`, a line a word, up to the objects of the method's stages."""
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.hydra_config import HydraConfig

    from biasmask.cli.mistakes import mistake, require_read, unusable_word
    from biasmask.pipeline.entry import plain_error
    from biasmask.pipeline.safe_config import require_known_targets
    from biasmask.pipeline.setup import attribute_names, selection_of
    from biasmask.pipeline.train_run import list_stages

    words = path.read_bytes().decode("utf-8", "replace").splitlines()[:6]
    try:
        config = compose_config("train", words, path.parent)
        require_read(config, words)
        require_known_targets(config, [])
        attribute_names(config.attribute)
        return selection_of(config), list_stages(config.debias)
    except Exception as error:
        told = plain_error(error) or mistake(error) or unusable_word(words)
        if told is None:
            raise
        raise ConfigError(" ".join(told.split())) from error
    finally:
        GlobalHydra.instance().clear()
        HydraConfig.instance().cfg = None


def _words_typed() -> list[bytes]:
    return [
        b"debias=bmft\nattribute=sex\nseed=3\ndata.image_size=32",
        b"experiment=bmft\ndata=csv\ndata.table=mine.csv\ndata.fractions={train: 0, debias: .5, val: .2, test: .3}",
        b"debias=swift\nselection=pareto\n+data.attributes.age={column: age, bins: [50]}\n~logger",
    ]


LISTS = b"groups:\n  male: [he, man]\n  female: [she, woman]\nstereotype: [nurse, pilot]\n"
TARGETS = {
    "table": Target(_table, ".csv", _tables),
    "parquet": Target(_read_any, ".parquet", _parquet),
    "torch": Target(_checkpoint, ".pt", _torch_files),
    "safetensors": Target(_checkpoint, ".safetensors", _safetensors),
    "word_lists": Target(_words, ".yaml", lambda: [LISTS]),
    "seat": Target(_seat, ".json", _seat_files),
    "labelled_texts": Target(_texts, ".csv", lambda: [b"text,target\n" + b"one two,0\nthree,1\n" * 3]),
    "own_checkpoint": Target(_own_checkpoint, ".seed", lambda: [b"", b"0", b"11"]),
    "overrides": Target(_overrides, ".txt", _words_typed),
    "archive": Target(_unpack, ".zip", _archives),
}
