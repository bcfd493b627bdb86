import pytest

from bridge.client.transport import Address, parse_address


@pytest.mark.parametrize(
    ("text", "address", "shown"),
    [
        ("127.0.0.1:9402", Address("127.0.0.1", 9402), "127.0.0.1:9402"),
        ("tcp://show-pc:9402", Address("show-pc", 9402), "show-pc:9402"),
        ("[::1]:9402", Address("::1", 9402), "[::1]:9402"),
        (
            "ws://127.0.0.1:9401/link",
            Address("127.0.0.1", 9401, "ws://127.0.0.1:9401/link"),
            "ws://127.0.0.1:9401/link",
        ),
        ("ws://127.0.0.1:9401", Address("127.0.0.1", 9401, "ws://127.0.0.1:9401/link"), "ws://127.0.0.1:9401/link"),
        ("wss://show.example/", Address("show.example", 443, "wss://show.example/link"), "wss://show.example/link"),
        (
            "wss://show.example/a/link?x=1",
            Address("show.example", 443, "wss://show.example/a/link?x=1"),
            "wss://show.example/a/link?x=1",
        ),
    ],
)
def test_addresses(text, address, shown):
    assert parse_address(text) == address
    assert str(parse_address(text)) == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "127.0.0.1",
        ":9402",
        "9402",
        "127.0.0.1:0",
        "127.0.0.1:99999",
        "127.0.0.1:9402/link",
        "http://127.0.0.1:9401/link",
        "ws://",
        "[::1:9402",
        "host:port",
    ],
)
def test_what_is_no_address(text):
    with pytest.raises(ValueError, match="must be HOST:PORT"):
        parse_address(text)
