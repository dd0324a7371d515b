"""The preparation scripts on fake downloads: layout, resizing, resuming, and what goes wrong."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
from PIL import Image

from biasmask.data.prepare import index_images, load_config, prepare_images, target_size
from biasmask.errors import DataError
from tests.data.fake_layouts import fake_fitzpatrick17k, fake_ham10000, write_jpeg

REPO = Path(__file__).resolve().parents[2]


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, REPO / "scripts" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_ham10000_from_the_official_layout(tmp_path, capsys):
    source = fake_ham10000(tmp_path / "download", official=True)
    out = tmp_path / "data"
    main = script("prepare_ham10000").main
    assert main(["--source", str(source), "--output", str(out), "--short-side", "30"]) == 0
    printed = capsys.readouterr().out
    assert "122 written, 0 were there, 0 failed, 5 of 127 ids have no image" in printed
    assert "age=60_and_over:" in printed and "sex=female:" in printed and "CC BY-NC 4.0" in printed
    with Image.open(out / "ham10000/images/ISIC_0024306.jpg") as image:
        assert image.size == (40, 30)
    table, _ = load_config(REPO / "configs/data/ham10000.yaml", out)
    assert len(table.frame) == 122
    assert main(["--source", str(source), "--output", str(out), "--short-side", "30"]) == 0
    assert "0 written, 122 were there" in capsys.readouterr().out


def test_fitzpatrick17k(tmp_path, capsys):
    source = fake_fitzpatrick17k(tmp_path / "download")
    (source / "images" / "broken.jpg").write_text("<html>gone</html>")
    first = pd.read_csv(source / "fitzpatrick17k.csv")["md5hash"][0]
    (source / "images" / f"{first}.jpg").write_text("<html>gone</html>")
    arguments = ["--source", str(source), "--output", str(tmp_path / "data")]
    assert script("prepare_fitzpatrick17k").main(arguments) == 0
    printed = capsys.readouterr().out
    assert "199 written, 0 were there, 1 failed, 40 of 240 ids have no image" in printed
    assert f"failed: {first}.jpg" in printed and "skin_tone=IV-VI:" in printed
    kept = sorted((source / "images").glob("*.jpg"))[5]
    assert (tmp_path / "data/fitzpatrick17k/images" / kept.name).read_bytes() == kept.read_bytes()


@pytest.mark.parametrize("name", ["prepare_ham10000", "prepare_fitzpatrick17k"])
def test_source_that_is_not_there(tmp_path, capsys, name):
    assert script(name).main(["--source", str(tmp_path / "nope")]) == 1
    error = capsys.readouterr().err
    assert "is no folder" in error and "https://" in error


@pytest.mark.parametrize("name", ["prepare_ham10000", "prepare_fitzpatrick17k"])
def test_source_without_the_table(tmp_path, capsys, name):
    assert script(name).main(["--source", str(tmp_path), "--output", str(tmp_path / "data")]) == 1
    assert "there is no" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_ground_truth_of_the_challenge_site(tmp_path, capsys):
    source = fake_ham10000(tmp_path, official=True)
    (source / "ISIC2018_Task3_Test_GroundTruth.csv").write_text("image,MEL,NV\nISIC_0034524,0.0,1.0\n")
    assert script("prepare_ham10000").main(["--source", str(source), "--output", str(tmp_path / "data")]) == 1
    assert "neither age nor sex" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_dataverse_tab_file(tmp_path, capsys):
    source = fake_ham10000(tmp_path / "download", official=True)
    frame = pd.read_csv(source / "HAM10000_metadata")
    (source / "HAM10000_metadata").unlink()
    frame.to_csv(source / "HAM10000_metadata.tab", sep="\t", index=False)
    assert script("prepare_ham10000").main(["--source", str(source), "--output", str(tmp_path / "data")]) == 0


def test_id_with_a_slash_writes_nowhere_else(tmp_path):
    source = fake_fitzpatrick17k(tmp_path / "download")
    frame = pd.read_csv(source / "fitzpatrick17k.csv")
    frame.loc[0, "md5hash"] = "../../escape"
    frame.to_csv(source / "fitzpatrick17k.csv", index=False)
    write_jpeg(source / "escape.jpg", 1)
    script("prepare_fitzpatrick17k").main(["--source", str(source), "--output", str(tmp_path / "data")])
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
    jobs = [(path, tmp_path / "out" / f"{stem}.jpg") for stem, path in index_images(tmp_path).items()]
    assert prepare_images(jobs, 0).failed == {}
    made = {}
    for path in (tmp_path / "out").iterdir():
        with Image.open(path) as image:
            made[path.name] = (image.mode, image.size)
    assert made == {"cmyk.jpg": ("RGB", (40, 20)), "turned.jpg": ("RGB", (20, 40)), "alpha.jpg": ("RGB", (40, 20))}
    assert prepare_images(jobs, 0).skipped == 3


def test_truncated_source_is_counted(tmp_path):
    write_jpeg(tmp_path / "a.jpg", 0)
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:400])
    count = prepare_images([(tmp_path / "a.jpg", tmp_path / "out.jpg")], 0)
    assert list(count.failed) == ["a.jpg"] and not (tmp_path / "out.jpg").exists()


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
