"""Several ComfyUIs written as one."""

import pytest

from bridge.backends.address_ranges import MAX_ADDRESSES, expand_addresses
from bridge.errors import ConfigError

SECRET = "hunter2-0123"


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("", []),
        (" , ,", []),
        ("http://127.0.0.1:8188", ["http://127.0.0.1:8188"]),
        ("127.0.0.1:8188-8190", ["127.0.0.1:8188", "127.0.0.1:8189", "127.0.0.1:8190"]),
        ("http://127.0.0.1:8188–8189", ["http://127.0.0.1:8188", "http://127.0.0.1:8189"]),
        ("http://a:8188-8188/", ["http://a:8188/"]),
        ("'http://[::1]:8188-8189'", ["http://[::1]:8188", "http://[::1]:8189"]),
        ("[fe80::1%25eth0]:1-2", ["[fe80::1%25eth0]:1", "[fe80::1%25eth0]:2"]),
        ("ws://https://a:1-2/x?k=1-2", ["ws://https://a:1/x?k=1-2", "ws://https://a:2/x?k=1-2"]),
        ("http://a-1-2:8188", ["http://a-1-2:8188"]),
        ("http://a/x:1-2", ["http://a/x:1-2"]),
        ("http://a:1, http://b:2", ["http://a:1", "http://b:2"]),
        ("gpu1:8188,gpu2:8188-8189", ["gpu1:8188", "gpu2:8188", "gpu2:8189"]),
        ("http://gpu:8188,8190-8191/", ["http://gpu:8188", "http://gpu:8190", "http://gpu:8191"]),
        ("http://gpu:8188,8190-8191", ["http://gpu:8188", "http://gpu:8190", "http://gpu:8191"]),
        ("http://gpu:8188-8189/x,8191", ["http://gpu:8188/x", "http://gpu:8189/x", "http://gpu:8191/x"]),
        ("http://gpu,8190", ["http://gpu", "http://gpu:8190"]),
        ("http://ann:a,b@gpu:1-2", ["http://ann:a,b@gpu:1", "http://ann:a,b@gpu:2"]),
        ("gpu:8188,ann:pw@other:8188", ["gpu:8188", "ann:pw@other:8188"]),
        ("https://a/?k=x,y", ["https://a/?k=x,y"]),
        ("https://a/?k=x,https://b/", ["https://a/?k=x", "https://b/"]),
    ],
)
def test_what_is_meant(text, addresses):
    assert expand_addresses(text) == addresses


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("http://a:8191-8188", "run backwards; write 8188-8191"),
        ("http://a:0-3", "port 0 is not 1..65535"),
        ("http://a:65530-65536", "port 65536 is not"),
        ("http://a:1-99999999999", "port 99999999999 is not"),
        ("http://a:1000-1999", "1,000 ports, over the limit of 64"),
        ("a:1-40,b:1-40", "over 64 ComfyUI addresses"),
        ("http://::1:8188-8189", "in brackets"),
        ("http://:8188-8189", "a host is missing"),
        ("a:1,a:2,http://a:1/", "http://a:1 is named twice"),
        ("a:8188-8190,8189", "http://a:8189 is named twice"),
        (f"http://ann:{SECRET}@a:9-1/?{SECRET}", "run backwards"),
    ],
)
def test_what_is_wrong(text, words):
    with pytest.raises(ConfigError) as caught:
        expand_addresses(text)
    assert words in caught.value.message
    assert SECRET not in caught.value.message


def test_as_many_as_a_bridge_takes():
    assert len(expand_addresses(f"a:1-{MAX_ADDRESSES}")) == MAX_ADDRESSES
