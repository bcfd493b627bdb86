"""The embedded server's files: names, counting, bounds."""

import pytest

from bridge.embedded.files import EscapeError, FileKey, FileStore, FullError


@pytest.mark.parametrize(
    ("subfolder", "name", "expected"),
    [
        ("", "x.png", FileKey("input", "", "x.png")),
        ("a/b", "x.png", FileKey("input", "a/b", "x.png")),
        ("a\\b", "x.png", FileKey("input", "a/b", "x.png")),
        ("", "a/x.png", FileKey("input", "a", "x.png")),
        ("a/../b", "x.png", FileKey("input", "b", "x.png")),
    ],
)
def test_key(subfolder: str, name: str, expected: FileKey) -> None:
    assert FileStore.key("input", subfolder, name) == expected


@pytest.mark.parametrize(
    ("subfolder", "name"),
    [("", ""), ("", ".."), ("..", "x"), ("../..", "x"), ("a/../..", "x"), ("/etc", "x"), ("", "../x"), ("", "a\0b")],
)
def test_key_that_leads_out(subfolder: str, name: str) -> None:
    with pytest.raises(EscapeError):
        FileStore.key("input", subfolder, name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x.png", FileKey("input", "", "x.png")),
        ("sub/x.png", FileKey("input", "sub", "x.png")),
        ("x.png [temp]", FileKey("temp", "", "x.png")),
        ("sub/x.png [output]", FileKey("output", "sub", "x.png")),
        ("x.png [else]", FileKey("input", "", "x.png [else]")),
    ],
)
def test_annotated_key(text: str, expected: FileKey) -> None:
    assert FileStore.annotated_key(text) == expected


def test_upload_names() -> None:
    files = FileStore()
    key = FileKey("input", "", "x.png")
    assert files.write_upload(key, b"one", overwrite=False) == key
    assert files.write_upload(key, b"one", overwrite=False) == key
    assert files.write_upload(key, b"two", overwrite=False).name == "x (1).png"
    assert files.write_upload(key, b"two", overwrite=False).name == "x (1).png"
    assert files.write_upload(key, b"three", overwrite=False).name == "x (2).png"
    assert files.write_upload(key, b"four", overwrite=True) == key
    assert files.read(key) == b"four"
    assert files.names("input") == ["x (1).png", "x (2).png", "x.png"]
    assert files.names("temp") == []


def test_digest_follows_the_bytes() -> None:
    files = FileStore()
    key = FileKey("input", "", "x.png")
    assert files.digest(key) == ""
    files.write(key, b"one")
    first = files.digest(key)
    files.write(key, b"two")
    assert len(first) == 64
    assert files.digest(key) not in ("", first)


def test_counted_names() -> None:
    files = FileStore()
    assert files.next_number("output", "", "rec") == 1
    files.write(FileKey("output", "", "rec_00041_.png"), b"")
    files.write(FileKey("output", "sub", "rec_00077_.png"), b"")
    files.write(FileKey("output", "", "record_00088_.png"), b"")
    assert files.next_number("output", "", "rec") == 42
    assert files.next_number("output", "sub", "rec") == 78


def test_oldest_goes_when_full() -> None:
    files = FileStore(limit_bytes=10)
    keys = [FileKey("input", "", f"{name}.png") for name in "abc"]
    for key in keys:
        files.write(key, b"1234")
    assert [files.read(key) is not None for key in keys] == [False, True, True]
    with pytest.raises(FullError, match="11 bytes > limit 10"):
        files.write(keys[0], b"x" * 11)
    files.write(keys[1], b"x" * 10)
    assert files.read(keys[2]) is None
