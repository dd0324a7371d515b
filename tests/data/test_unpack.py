"""Archives: what is in them arrives whole, and nothing is written outside of the folder."""

import io
import tarfile
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
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


def test_a_file_of_equal_size_but_other_content_is_written_again(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"x": b"new", "y": b"1"})
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x").write_bytes(b"old")
    (tmp_path / "out" / ".x.part").write_bytes(b"of a call that was killed")
    assert unpack(archive, tmp_path / "out") == 2 and (tmp_path / "out" / "x").read_bytes() == b"new"
    assert unpack(archive, tmp_path / "out") == 0 and not list((tmp_path / "out").glob(".*"))


@pytest.mark.parametrize("where", ["x", ".x.part"])
def test_a_link_in_place_of_a_file_is_replaced_and_not_followed(where: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "mine").write_bytes(b"mine")
    (tmp_path / "out" / where).symlink_to(tmp_path / "mine")
    assert unpack(make_zip(tmp_path / "a.zip", {"x": b"1234"}), tmp_path / "out") == 1
    assert (tmp_path / "mine").read_bytes() == b"mine" and not (tmp_path / "out" / "x").is_symlink()


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_the_later_of_two_members_with_one_path_counts(make, tmp_path: Path) -> None:
    archive = make(tmp_path / "a", {"x/1": b"first", "./x/1": b"second", "y": b""})
    assert unpack(archive, tmp_path / "out") == 2 and (tmp_path / "out/x/1").read_bytes() == b"second"
    assert unpack(archive, tmp_path / "out") == 0


def test_a_bomb_is_refused_before_its_list_is_read_to_the_end(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for n in range(100):
            info = tarfile.TarInfo(str(n))
            info.size = 200
            archive.addfile(info, io.BytesIO(b"0" * 200))
    with pytest.raises(DataError, match=r"to 1,200 bytes or more, 6 files"):
        unpack(tmp_path / "a.tar", tmp_path / "out", ratio=0, floor=1000)
    assert not (tmp_path / "out").exists()


def test_a_file_where_a_folder_should_be_and_an_encrypted_archive(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="can't unpack a.zip: (File exists|Not a directory)"):
        unpack(make_zip(tmp_path / "a.zip", {"x": b"1", "x/y": b"2"}), tmp_path / "out")
    content = bytearray(make_zip(tmp_path / "b.zip", {"x": b"1"}).read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + flags] |= 1
    (tmp_path / "b.zip").write_bytes(content)
    with pytest.raises(DataError, match="b.zip can't be unpacked: .*encrypted"):
        unpack(tmp_path / "b.zip", tmp_path / "other")


def test_the_folder_may_be_this_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = make_zip(tmp_path / "a.zip", {"x": b"1"})
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert unpack(archive, Path()) == 1 and [path.name for path in Path().iterdir()] == ["x"]


def test_two_that_unpack_to_one_folder_take_turns(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {f"{n}.txt": bytes([n]) * 10_000 for n in range(50)})
    with ThreadPoolExecutor(4) as threads:
        written = list(threads.map(lambda _: unpack(archive, tmp_path / "out"), range(4)))
    assert sorted(written) == [0, 0, 0, 50] and len(list((tmp_path / "out").iterdir())) == 50


@pytest.mark.parametrize("kind", ["zip", "gz", "bz2", "xz"])
@settings(max_examples=40, deadline=None)
@given(st.data())
def test_whatever_byte_is_wrong_nothing_wrong_is_left_and_the_error_is_one_line(kind: str, data: st.DataObject) -> None:
    content = bytes(range(256)) * 3
    with tempfile.TemporaryDirectory() as name:
        archive, folder = Path(name) / "a", Path(name) / "deep" / "out"
        if kind == "zip":
            make_zip(archive, {"x/1": content, "2": b"two"})
        else:
            with tarfile.open(archive, f"w:{kind}") as packed:
                for path, body in (("x/1", content), ("2", b"two")):
                    info = tarfile.TarInfo(path)
                    info.size = len(body)
                    packed.addfile(info, io.BytesIO(body))
        wrong = bytearray(archive.read_bytes())
        wrong[data.draw(st.integers(0, len(wrong) - 1))] ^= data.draw(st.integers(1, 255))
        archive.write_bytes(wrong)
        try:
            unpack(archive, folder)
        except DataError as error:
            assert "\n" not in str(error) and not list(Path(name).rglob("*.part"))
        assert {p for p in Path(name).rglob("*") if not p.is_relative_to(folder)} <= {archive, folder.parent}
        whole = folder / "x" / "1"
        assert kind != "zip" or not whole.is_file() or whole.read_bytes() == content, "the CRC finds it"


def test_bytes_that_no_longer_unpack_are_one_line(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"x": bytes(range(256)) * 4})
    content = bytearray(archive.read_bytes())
    content[40:60] = b"\xff" * 20
    archive.write_bytes(content)
    with pytest.raises(DataError, match="can't be unpacked"):
        unpack(archive, tmp_path / "out")
