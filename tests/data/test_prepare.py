"""Pictures of a download to JPEGs of one size: resizing, resuming, odd kinds, and what goes wrong."""

import threading
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from biasmask.data.config_table import load_config
from biasmask.data.image_index import index_stems
from biasmask.data.medical_pixels import read_dicom, wide_to_bytes
from biasmask.data.parallel import map_parallel
from biasmask.data.prepare import prepare_images, target_size
from biasmask.errors import DataError
from tests.conftest import CONFIGS
from tests.data.fake_layouts import fake_fitzpatrick17k, fake_ham10000, write_jpeg
from tests.data.fake_releases.parts import dicom
from tests.data.scripts import prepare_dataset


def test_ham10000_keeps_its_official_layout(tmp_path, capsys):
    source, out = fake_ham10000(tmp_path / "download", official=True), tmp_path / "data"
    assert prepare_dataset("ham10000", source, out, "--short-side", "30") == 0
    printed = capsys.readouterr().out
    assert "122 written, 0 were there, 0 failed" in printed and "CC BY-NC 4.0" in printed
    with Image.open(out / "ham10000/images/ISIC_0024306.jpg") as image:
        assert image.size == (40, 30)
    for table in ("HAM10000_metadata", "ISIC2018_Task3_Test_GroundTruth.csv"):
        written = pd.read_csv(out / "ham10000" / f"{Path(table).stem}.csv")
        pd.testing.assert_frame_equal(written, pd.read_csv(source / table))
    own = load_config(CONFIGS / "data/ham10000.yaml", out)[0].frame
    assert own["id"].tolist() == pd.read_parquet(out / "ham10000/table.parquet")["id"].tolist()


def test_fitzpatrick17k_lists_what_is_missing(tmp_path, capsys):
    source = fake_fitzpatrick17k(tmp_path / "download")
    (source / "images" / "broken.jpg").write_text("<html>gone</html>")
    official = pd.read_csv(source / "fitzpatrick17k.csv")
    first = official["md5hash"][0]
    (source / "images" / f"{first}.jpg").write_text("<html>gone</html>")
    assert prepare_dataset("fitzpatrick17k", source, tmp_path / "data") == 0
    printed = capsys.readouterr().out
    assert "199 written, 0 were there, 1 failed" in printed and f"failed: images/{first}.jpg" in printed
    assert "40 of 240 rows have no picture" in printed
    folder = tmp_path / "data/fitzpatrick17k"
    missing = pd.read_csv(folder / "missing_images.csv")
    assert missing["url"].tolist() == official["url"][200:].tolist()
    kept = sorted((source / "images").glob("*.jpg"))[5]
    assert (folder / "images" / kept.name).read_bytes() == kept.read_bytes()


def test_ground_truth_of_the_challenge_site(tmp_path, capsys):
    source = fake_ham10000(tmp_path, official=True)
    (source / "ISIC2018_Task3_Test_GroundTruth.csv").write_text("image,MEL,NV\nISIC_0034524,0.0,1.0\n")
    assert prepare_dataset("ham10000", source, tmp_path / "data") == 2
    error = capsys.readouterr().err
    assert "no column lesion_id, image_id, dx, age, sex" in error and "10.7910/DVN/DBW86T" in error
    assert not (tmp_path / "data").exists()


def test_dataverse_tab_file(tmp_path):
    source = fake_ham10000(tmp_path / "download", official=True)
    frame = pd.read_csv(source / "HAM10000_metadata")
    (source / "HAM10000_metadata").unlink()
    frame.to_csv(source / "HAM10000_metadata.tab", sep="\t", index=False)
    assert prepare_dataset("ham10000", source, tmp_path / "data") == 0


def test_id_with_a_slash_writes_nowhere_else(tmp_path):
    source = fake_fitzpatrick17k(tmp_path / "download")
    frame = pd.read_csv(source / "fitzpatrick17k.csv")
    frame.loc[0, "md5hash"] = "../../escape"
    frame.to_csv(source / "fitzpatrick17k.csv", index=False)
    write_jpeg(source / "escape.jpg", 1)
    assert prepare_dataset("fitzpatrick17k", source, tmp_path / "data") == 0
    assert not list(tmp_path.glob("escape.jpg")) and not list((tmp_path / "data").glob("escape.jpg"))


def test_a_torn_output_is_written_again_and_a_changed_source_too(tmp_path):
    write_jpeg(tmp_path / "a.jpg", 0)
    job = (tmp_path / "a.jpg", tmp_path / "out" / "a.jpg")
    assert prepare_images([job], 20).written == 1
    whole = job[1].read_bytes()
    job[1].write_bytes(whole[: len(whole) // 2])
    assert prepare_images([job], 20).written == 1
    assert job[1].read_bytes() == whole
    assert prepare_images([job], 20).skipped == 1
    assert prepare_images([job], 30).written == 1
    assert prepare_images([job], 0).written == 1
    assert job[1].read_bytes() == job[0].read_bytes()
    assert [p.name for p in job[1].parent.iterdir()] == ["a.jpg"]


def test_odd_sources_become_plain_jpegs(tmp_path):
    Image.new("CMYK", (40, 20)).save(tmp_path / "cmyk.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20)).save(tmp_path / "turned.jpg", exif=exif)
    Image.new("RGBA", (40, 20)).save(tmp_path / "alpha.png")
    Image.new("L", (40, 20)).save(tmp_path / "grey.jpg")
    jobs = [(tmp_path / path, tmp_path / "out" / f"{stem}.jpg") for stem, path in index_stems(tmp_path).items()]
    assert prepare_images(jobs, 0).failed == {}
    made = {}
    for path in (tmp_path / "out").iterdir():
        with Image.open(path) as image:
            made[path.name] = (image.mode, image.size)
    wide, high = (40, 20), (20, 40)
    assert made == {"cmyk.jpg": ("RGB", wide), "turned.jpg": ("RGB", high), "alpha.jpg": ("RGB", wide), "grey.jpg": ("L", wide)}
    assert prepare_images(jobs, 0).skipped == 4


def test_truncated_source_is_counted(tmp_path):
    write_jpeg(tmp_path / "a.jpg", 0)
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:400])
    count = prepare_images([(tmp_path / "a.jpg", tmp_path / "out.jpg")], 0)
    assert list(count.failed) == [0] and not (tmp_path / "out.jpg").exists()


def test_full_disk_stops_at_once_and_leaves_the_old_file(tmp_path, monkeypatch):
    write_jpeg(tmp_path / "a.jpg", 0)
    (tmp_path / "out.jpg").write_bytes(b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(DataError, match="No space left"):
        prepare_images([(tmp_path / "a.jpg", tmp_path / "out.jpg")], 20)
    assert (tmp_path / "out.jpg").read_bytes() == b"old"
    assert not list(tmp_path.glob(".*.part"))


def test_target_size():
    assert target_size((600, 450), 256) == (341, 256)
    assert target_size((1, 1000), 1) == (1, 1000)
    assert target_size((3000, 2), 1) == (1500, 1)


needs_dicom = pytest.mark.skipif(find_spec("pydicom") is None, reason="the extra `medical` isn't installed")


def pixels(path: Path) -> np.ndarray:
    return np.asarray(read_dicom(path)[0]).astype(int)


@needs_dicom
def test_dicom_in_its_window_is_clipped_only_there(tmp_path):
    ramp = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    dicom(tmp_path / "a.dcm", ramp, window=(2048, 1024))
    grey = pixels(tmp_path / "a.dcm").ravel()
    assert grey[:1536].max() == 0 and grey[2560:].min() == 255 and abs(grey[2048] - 128) <= 1


@needs_dicom
def test_dicom_without_a_window_keeps_every_value_apart_from_rounding(tmp_path):
    ramp = np.linspace(100, 3000, 4096).round().astype(np.uint16).reshape(64, 64)
    dicom(tmp_path / "a.dcm", ramp)
    image, note = read_dicom(tmp_path / "a.dcm")
    grey = np.asarray(image).ravel()
    assert (grey[0], grey[-1]) == (0, 255) and (np.diff(grey.astype(int)) >= 0).all() and "lowest to highest" in note


@needs_dicom
def test_monochrome1_is_inverted_and_the_modality_lut_comes_first(tmp_path):
    ramp = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    dicom(tmp_path / "one.dcm", ramp, kind="MONOCHROME1")
    dicom(tmp_path / "two.dcm", ramp)
    np.testing.assert_array_equal(pixels(tmp_path / "one.dcm"), 255 - pixels(tmp_path / "two.dcm"))
    assert "MONOCHROME1 inverted" in read_dicom(tmp_path / "one.dcm")[1]
    dicom(tmp_path / "hu.dcm", ramp, slope=2, intercept=-1000, window=(0, 2000))  # 0 is the stored value 500
    assert abs(pixels(tmp_path / "hu.dcm").ravel()[500] - 128) <= 1


@needs_dicom
def test_dicom_files_go_through_the_preparation(tmp_path):
    dicom(tmp_path / "colour.dcm", np.full((40, 30, 3), (200, 10, 10)))
    dicom(tmp_path / "no_suffix", np.arange(1200, dtype=np.uint16).reshape(40, 30))
    (tmp_path / "broken.dcm").write_bytes(b"\0" * 300)
    jobs = [(tmp_path / name, tmp_path / f"{name}.jpg") for name in ("colour.dcm", "no_suffix", "broken.dcm")]
    count = prepare_images(jobs, 15)
    assert (count.written, list(count.failed), sum(count.converted.values())) == (2, [2], 2)
    with Image.open(tmp_path / "colour.dcm.jpg") as image:
        assert (image.mode, image.size) == ("RGB", (15, 20)) and image.getpixel((5, 5))[0] > 150
    assert prepare_images(jobs[:2], 15).skipped == 2


def test_sixteen_bit_png_is_scaled_by_the_bits_it_uses_and_not_clipped(tmp_path):
    for high, note in ((4095, "12 bits to 8"), (60000, "16 bits to 8")):
        ramp = np.linspace(0, high, 3600).round().astype(np.uint16).reshape(60, 60)
        Image.fromarray(ramp).save(tmp_path / f"{high}.png")
        count = prepare_images([(tmp_path / f"{high}.png", tmp_path / f"{high}.jpg")], 0)
        assert dict(count.converted) == {note: 1}
        with Image.open(tmp_path / f"{high}.jpg") as image:
            brightest = 255 * high / (4095 if high == 4095 else 65535)
            assert image.mode == "L" and image.getpixel((59, 59)) == pytest.approx(brightest, abs=4)
    with pytest.raises(DataError, match="outside 16 bits"):
        wide_to_bytes(np.array([[-1, 5]]))


def test_threads_keep_the_order_and_stop_at_the_first_error():
    started = []

    def work(number: int) -> int:
        started.append(threading.get_ident())
        if number == 3:
            raise DataError("full disk")
        return number

    assert list(map_parallel(lambda n: n * n, range(50), workers=4)) == [n * n for n in range(50)]
    with pytest.raises(DataError, match="full disk"):
        list(map_parallel(work, range(5000), workers=2))
    assert len(started) < 5000


def test_threads_and_one_thread_write_the_same_bytes(tmp_path):
    for number in range(12):
        write_jpeg(tmp_path / f"{number}.jpg", number)
    for folder, workers in (("one", 1), ("many", 4)):
        jobs = [(tmp_path / f"{n}.jpg", tmp_path / folder / f"{n}.jpg") for n in range(12)]
        assert prepare_images(jobs, 20, workers=workers).written == 12
    for number in range(12):
        assert (tmp_path / "one" / f"{number}.jpg").read_bytes() == (tmp_path / "many" / f"{number}.jpg").read_bytes()
