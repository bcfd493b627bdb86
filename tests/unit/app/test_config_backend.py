"""`[[backend]]`: one ComfyUI or several, and what each is called."""

import pytest

from bridge.app.config.backend import BackendConfig, single_backends
from bridge.app.config.config import load_config
from bridge.errors import ConfigError


def each(**keys):
    return [(one.name, one.url) for one in single_backends([BackendConfig(**keys)])]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"url": "http://a:1", "name": "x"}, [("x", "http://a:1")]),
        ({"url": "http://a:7-7,", "name": "x"}, [("x", "http://a:7")]),
        ({"url": ""}, [("", "")]),
        ({"url": "http://a:1-2"}, [("", "http://a:1"), ("", "http://a:2")]),
        ({"url": "http://a:1-2", "name": "gpu"}, [("gpu-1", "http://a:1"), ("gpu-2", "http://a:2")]),
        ({"url": "a:1,b:1", "name": "gpu"}, [("gpu-1", "a:1"), ("gpu-2", "b:1")]),
        ({"url": "a:9,b:1-2", "name": "gpu"}, [("gpu-9", "a:9"), ("gpu-1", "b:1"), ("gpu-2", "b:2")]),
        ({"url": "a,b", "name": "gpu"}, [("gpu-1", "a"), ("gpu-2", "b")]),
    ],
)
def test_names(keys, expected):
    assert each(**keys) == expected


def test_other_keys_are_those_of_each():
    found = single_backends([BackendConfig(url="a:1-2", headers={"X": "1"}, remote=True, transfer="png")])
    assert {(one.remote, one.transfer, one.headers["X"]) for one in found} == {(True, "png", "1")}


@pytest.mark.parametrize(
    ("backends", "words"),
    [
        ([{"url": "http://a:3-1"}], "run backwards"),
        ([{"url": "http://a:1-40"}, {"url": "http://b:1-40"}], "80 \\[\\[backend\\]\\], over the limit of 64"),
        ([{"url": "a:1,b:1", "headers": {"Authorization": "x"}}], "headers go to one host"),
        ([{"url": "a:1,b:1", "headers_file": "cookies.txt"}], "headers go to one host"),
    ],
)
def test_what_is_refused(backends, words):
    with pytest.raises(ConfigError, match=words):
        load_config(None, {}, {"backend": backends})


def test_file_and_environment(tmp_path):
    file = tmp_path / "texbridge.toml"
    file.write_text('[[backend]]\nurl = "http://127.0.0.1:8188-8191"\nname = "gpu"\n', encoding="utf-8")
    assert [one.name for one in load_config(file, {}).backend] == ["gpu-8188", "gpu-8189", "gpu-8190", "gpu-8191"]
    told = load_config(file, {"TEXBRIDGE_COMFY": "http://[::1]:1-2, b:3,"}).backend
    assert [one.url for one in told] == ["http://[::1]:1", "http://[::1]:2", "b:3"]
    assert load_config(file, {"TEXBRIDGE_COMFY": " ,"}).backend == ()
