"""The pool: names of backends, and of our files at each."""

import pytest

from bridge.backends.pool import BackendPool
from bridge.errors import ConfigError


def test_our_files_have_other_names_at_each_and_the_same_after_a_start() -> None:
    """Four ComfyUIs of one folder share their input folder: one's picture must not be written over another's."""

    def tags() -> list[str]:
        pool = BackendPool(lambda _: None, "0123abcd")
        found = [pool.add(name, f"http://127.0.0.1:{port}")._files._tag for name, port in (("a", 1), ("b/c d", 2))]
        assert all(tag.startswith("0123abcd_") and tag.replace("_", "").isalnum() for tag in found)
        return found

    assert len(set(tags())) == 2
    assert tags() == tags()


def test_a_name_is_taken_once() -> None:
    pool = BackendPool(lambda _: None)
    pool.add("a", "http://127.0.0.1:1")
    with pytest.raises(ConfigError, match="'a' is used twice"):
        pool.add("a", "http://127.0.0.1:2")
    assert [backend.name for backend in pool] == ["a"]
