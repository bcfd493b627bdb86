"""Where a request's body ends: what is refused, and that pieces of any size are read alike."""

import pytest

from bridge.links.http_body import MAX_BODY_BYTES, ChunkedBody, RefusedBodyError, body_of


def head(*lines, method="POST"):
    return "\r\n".join((f"{method} /admin/backends HTTP/1.1", *lines, "", "")).encode()


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (head("Content-Length: 5", "Transfer-Encoding: chunked"), 400),
        (head("content-length:5", "TRANSFER-ENCODING : chunked"), 400),
        (head("Content-Length: 0", "Transfer-Encoding: chunked"), 400),
        (head("Content-Length: 5", "Content-Length: 5"), 400),
        (head("Content-Length: 5, 5"), 400),
        (head("Content-Length: +5"), 400),
        (head("Content-Length: 0x5"), 400),
        (head("Content-Length: "), 400),
        (head("Content-Length: -1"), 400),
        (head("Content-Length: 1_0"), 400),
        (head(f"Content-Length: {'9' * 30}"), 400),
        (head("Transfer-Encoding: gzip, chunked"), 400),
        (head("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), 400),
        (head("Transfer-Encoding: identity"), 400),
        (head("Transfer-Encoding: chunked", method="GET"), 400),
        (head("Content-Length: 1", method="DELETE"), 400),
        (head(f"Content-Length: {MAX_BODY_BYTES + 1}"), 413),
        (head(f"Content-Length: {'9' * 19}"), 413),
    ],
)
def test_a_head_that_is_refused(data, status):
    with pytest.raises(RefusedBodyError) as caught:
        body_of(data)
    assert caught.value.status == status


def test_no_body():
    assert body_of(head("Host: x")) is None
    assert body_of(head("Content-Length: 0")) is None
    assert body_of(head("Content-Length: 0", method="GET")) is None


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize(
    ("announced", "body"),
    [
        ("Content-Length: 9", b"123456789"),
        ("Transfer-Encoding: chunked", b"3\r\n123\r\n00000009\r\n\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n"),
        ("Transfer-Encoding: Chunked", b"0\r\n\r\n"),
    ],
)
def test_the_end_is_found_in_pieces_of_any_size(announced, body, piece):
    reader, data, taken = body_of(head(announced)), body + b"GET / HTTP/1.1", 0
    for start in range(0, len(data), piece):
        taken += reader.feed(data[start : start + piece])
    assert taken == len(body)
    assert reader.over


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"3\n123\r\n", 400),
        (b"3;name=value\r\n123\r\n", 400),
        (b"\r\n", 400),
        (b"-1\r\n", 400),
        (b"+3\r\n123\r\n", 400),
        (b" 3\r\n123\r\n", 400),
        (b"3\r\n1234\r\n", 400),
        (b"3\r\n12\r\n0\r\n", 400),
        (b"0\r\nTrailer: 1\r\n\r\n", 400),
        (b"x" * 100, 400),
        (b"0" * 100, 400),
        (b"FFFFFFFF\r\n", 413),
        (b"3001\r\n", 413),
        (b"1800\r\n" + b"x" * 0x1800 + b"\r\n1801\r\n", 413),
    ],
)
@pytest.mark.parametrize("piece", [1, 1 << 20])
def test_chunks_that_are_refused(body, status, piece):
    reader = ChunkedBody(MAX_BODY_BYTES)

    def read():
        for start in range(0, len(body), piece):
            reader.feed(body[start : start + piece])

    with pytest.raises(RefusedBodyError) as caught:
        read()
    assert caught.value.status == status
