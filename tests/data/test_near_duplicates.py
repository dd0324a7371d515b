"""Near duplicates: found after another crop, size and watermark; not between unlike pictures; in one set and across two."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from biasmask.data import near_duplicates
from biasmask.data.near_duplicates import close_hashes, near_pairs
from biasmask.data.near_rows import NearRows
from biasmask.data.table import TableSource
from biasmask.errors import ConfigError, DataError
from tests.data.fake_releases import pad_ufes_20
from tests.data.scripts import prepare_dataset


def photograph(seed: int, size: tuple[int, int] = (200, 150)) -> Image.Image:
    """Something with layout and texture."""
    random = np.random.default_rng(seed)
    layout = Image.fromarray(random.integers(0, 256, (5, 6, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    texture = Image.fromarray(random.integers(0, 256, (50, 66, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    return Image.blend(layout, texture, 0.35)


def lesion(seed: int) -> Image.Image:
    """A dark blot in the middle of plain skin: alike in layout to any other, not in detail."""
    random = np.random.default_rng(seed)
    picture = Image.new("RGB", (160, 160), (220, 170, 150))
    ImageDraw.Draw(picture).ellipse((40, 50, 110, 115), fill=(90, 50, 40))
    picture = picture.filter(ImageFilter.GaussianBlur(14))
    noise = Image.fromarray(random.integers(0, 256, (80, 80, 3), dtype=np.uint8)).resize((160, 160), Image.Resampling.BICUBIC)
    return Image.blend(picture, noise, 0.08)


def changed(picture: Image.Image) -> Image.Image:
    """The same picture brighter, cut a little, smaller, with a mark, and compressed hard."""
    width, height = picture.size
    out = ImageEnhance.Brightness(picture).enhance(1.15).crop((2, 1, width - 1, height - 2)).resize((160, 120))
    ImageDraw.Draw(out).text((5, 105), "SFS", fill="white")
    return out


def test_hashes_agree_with_a_count_bit_by_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    a = random.integers(0, 2**64, 40, dtype=np.uint64)
    b = np.concatenate([a[:5] ^ np.uint64(7), random.integers(0, 2**64, 30, dtype=np.uint64)])
    slow = [(i, j, (int(x) ^ int(y)).bit_count()) for i, x in enumerate(a) for j, y in enumerate(b)]
    expected = [row for row in slow if row[2] <= 24]
    monkeypatch.setattr(near_duplicates, "CELLS", 100)  # several blocks
    assert [tuple(row) for row in close_hashes(a, b, 24).tolist()] == expected
    monkeypatch.delattr(np, "bitwise_count", raising=False)  # as in numpy 1
    assert [tuple(row) for row in close_hashes(a, b, 24).tolist()] == expected
    inside = close_hashes(np.concatenate([a, a]), None, 0)
    assert inside[:, :2].tolist() == [[n, n + 40] for n in range(40)]


def test_too_many_pairs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_duplicates, "MOST", 10)
    with pytest.raises(DataError, match="more than 10 pairs"):
        close_hashes(np.zeros(6, dtype=np.uint64), None, 0)


def test_changed_pictures_are_found_and_lesions_of_one_layout_are_not(tmp_path: Path) -> None:
    for number in range(6):
        photograph(number).save(tmp_path / f"photo{number}.jpg", quality=90)
        lesion(number).save(tmp_path / f"lesion{number}.jpg", quality=90)
    changed(photograph(0)).save(tmp_path / "again0.jpg", quality=60)
    changed(photograph(3)).save(tmp_path / "again3.jpg", quality=60)
    paths = sorted(tmp_path.glob("*.jpg"))
    pairs, alike, proposed = near_pairs(paths, None, workers=2)
    found = {frozenset((paths[i].stem, paths[j].stem)) for i, j, _ in pairs}
    assert found == {frozenset(("again0", "photo0")), frozenset(("again3", "photo3"))}
    assert proposed >= 4, "to the hash several lesions are one"
    assert (np.diff(alike) <= 0).all() and alike.min() >= near_duplicates.LIKENESS
    again = [path for path in paths if path.stem.startswith("again")]
    across = near_pairs(again, [path for path in paths if path.stem.startswith("photo")])[0]
    assert across[:, :2].tolist() in ([[0, 0], [1, 3]], [[1, 3], [0, 0]])


def test_the_preparation_lists_them_and_the_config_leaves_them_out(tmp_path: Path) -> None:
    source, data = pad_ufes_20.write(tmp_path / "download"), tmp_path / "data"
    official = pd.read_csv(source / "metadata.csv")
    first, second = (next(source.rglob(name)) for name in official["img_id"][[3, 40]])
    photograph(1).save(first)
    changed(photograph(1)).save(second)
    assert prepare_dataset("pad_ufes_20", source, data, "--near-duplicates") == 0
    folder = data / "pad_ufes_20"
    listed = pd.read_csv(folder / "near_duplicates.csv")
    assert set(listed.iloc[0][["id_a", "id_b"]]) == {first.stem, second.stem} and not listed["same_subject"][0]
    assert "Near duplicates" in (folder / "card.md").read_text() and (folder / "near_duplicates.jpg").is_file()
    again = tmp_path / "other"
    assert prepare_dataset("pad_ufes_20", source, again) == 0
    (again / "pad_ufes_20").rename(data / "second")
    assert prepare_dataset("pad_ufes_20", source, data, "--against", "second") == 0
    common = pd.read_csv(folder / "near_duplicates_second.csv")
    assert set(common.loc[common["likeness"] > 0.99, "id_a"]) >= {first.stem} and set(common["other"]) == {"second"}
    assert prepare_dataset("pad_ufes_20", source, data, "--against", "third") == 2


def test_pairs_with_another_set_are_excluded_and_never_kept_together(tmp_path: Path) -> None:
    (tmp_path / "near_duplicates_x.csv").write_text("id_a,id_b,distance,other\na,z,2,x\n")
    near = NearRows.read({"use": "exclude", "file": "near_duplicates_x.csv"}, tmp_path)
    ids, splits = pd.Series(["a", "b"]), pd.Series(["train", "test"])
    assert near.excluded(ids, splits).tolist() == ["near duplicate of a picture of x", None]
    with pytest.raises(ConfigError, match="only be excluded"):
        NearRows.read({"use": "together", "file": "near_duplicates_x.csv"}, tmp_path)
    with pytest.raises(ConfigError, match="use=drop isn't known"):
        NearRows.read({"use": "drop"}, tmp_path)
    with pytest.raises(DataError, match="--near-duplicates"):
        NearRows.read({"use": "exclude"}, tmp_path)


def test_a_chain_of_pairs_is_one_subject() -> None:
    near = NearRows((("1", "2"), ("2", "3"), ("9", "1")), "together")
    assert near.joined(pd.Series(["d", "c", "b", "a"]), pd.Series(["1", "2", "3", "4"])).tolist() == ["b", "b", "b", "a"]


def test_pairs_are_kept_together_when_another_column_is_split_by(tmp_path: Path):
    rows = [f"{n}.jpg,{n % 2},c{n // 2}" for n in range(12)]
    (tmp_path / "a.csv").write_text("image,target,clinic\n" + "\n".join([*rows, "x.jpg,0,"]) + "\n")
    (tmp_path / "near_duplicates.csv").write_text("id_a,id_b,distance\n0.jpg,11.jpg,1\n")
    split = {"method": "stratified", "by": "clinic", "fractions": {"debias": 0.5, "test": 0.5}}
    files, near = [{"file": "a.csv", "split": None}], {"use": "together"}
    source = TableSource("t", tmp_path, files, "image", "target", split=split, near_duplicates=near)
    frame = source.load(lambda paths, *_: np.ones(len(paths), dtype=bool)).frame
    of_clinic = frame.groupby("raw:clinic")["split"].nunique()
    assert (of_clinic == 1).all() and len(of_clinic) == 6
    assert frame["split"].iloc[0] == frame["split"].iloc[11]
