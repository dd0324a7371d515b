"""Archives: what is in them arrives whole, and nothing is written outside of the folder."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biasmask.data.unpack import safe_member, unpack
from biasmask.errors import DataError

BAD = ["../x", "/x", "a/../../x", "C:\\x", "..\\x"]


def make_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def make_tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_unpacked_and_gone_on_with(make, tmp_path: Path) -> None:
    archive = make(tmp_path / "a", {"one/1.jpg": b"1" * 10, "2.csv": b"2" * 20})
    assert unpack(archive, tmp_path / "out") == 2
    (tmp_path / "out" / "2.csv").write_bytes(b"2")  # as a kill would have left it
    assert unpack(archive, tmp_path / "out") == 1
    assert (tmp_path / "out" / "2.csv").read_bytes() == b"2" * 20
    assert (tmp_path / "out" / "one" / "1.jpg").read_bytes() == b"1" * 10
    assert not list((tmp_path / "out").rglob("*.part"))


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize("name", BAD)
def test_a_member_that_leads_out_stops_it_before_anything_is_written(make, name: str, tmp_path: Path) -> None:
    archive = make(tmp_path / "a", {"good.txt": b"1", name: b"2"})
    with pytest.raises(DataError, match="leads out of the folder; nothing was unpacked"):
        unpack(archive, tmp_path / "deep" / "out")
    assert [path.name for path in tmp_path.rglob("*")] == ["a"]


def test_links_are_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        info = tarfile.TarInfo("link")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc"
        archive.addfile(info)
    with pytest.raises(DataError, match="is a link or a device"):
        unpack(tmp_path / "a.tar", tmp_path / "out")
    entry = zipfile.ZipInfo("link")
    entry.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(entry, "/etc")
    with pytest.raises(DataError, match="is a link"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


def test_a_link_that_lies_in_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "out" / "sub").symlink_to(tmp_path / "outside")
    with pytest.raises(DataError, match="by a link"):
        unpack(make_zip(tmp_path / "a.zip", {"sub/x": b"1"}), tmp_path / "out")
    assert not list((tmp_path / "outside").iterdir())


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"x": b"0" * 200_000})
    with pytest.raises(DataError, match="no archive of data"):
        unpack(archive, tmp_path / "out", floor=100_000)


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_a_damaged_archive_is_one_line(make, tmp_path: Path) -> None:
    archive = make(tmp_path / "a", {"x": bytes(range(256)) * 400})
    content = bytearray(archive.read_bytes())
    archive.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="can't be unpacked|cut off"):
        unpack(archive, tmp_path / "out")
    assert not list(tmp_path.rglob("*.part")) and not (tmp_path / "out" / "x").exists()


@given(st.text(max_size=30))
def test_no_name_whatever_leads_out(name: str) -> None:
    try:
        path = safe_member(name, "x.zip")
    except DataError:
        return
    assert not path.is_absolute() and ".." not in path.parts and path.parts


def test_bytes_that_no_longer_unpack_are_one_line(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"x": bytes(range(256)) * 4})
    content = bytearray(archive.read_bytes())
    content[40:60] = b"\xff" * 20
    archive.write_bytes(content)
    with pytest.raises(DataError, match="can't be unpacked"):
        unpack(archive, tmp_path / "out")
