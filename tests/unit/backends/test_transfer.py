"""Which form pictures come in, by what the link showed."""

from __future__ import annotations

import pytest

from bridge.backends.transfer import FIRST_TRY_AFTER, Transfer, TransferMode
from bridge.types import OutputKind

RAW = 1024 * 1024 * 3
FAST, FAIR, SLOW = 500e6, 100e6, 2.5e6  # bytes a second: this machine, a fast network, a tunnel


def feed(transfer: Transfer, rate: float, pictures: int, raw_bytes: int = RAW) -> list[str]:
    """Pictures over a link of this rate, each in the form that holds then; gives those forms."""
    words = []
    for _ in range(pictures):
        word = transfer.word()
        message_bytes = raw_bytes if word == "raw" else raw_bytes // 12
        transfer.came(message_bytes, message_bytes / rate, raw_bytes)
        words.append(word)
    return words


@pytest.mark.parametrize("mode", [TransferMode.RAW, TransferMode.JPEG, TransferMode.WEBP, TransferMode.PNG])
def test_what_is_said_holds(mode: TransferMode) -> None:
    transfer = Transfer(mode)
    assert set(feed(transfer, SLOW, 20)) == {mode.value}


def test_a_fast_link_stays_raw() -> None:
    transfer = Transfer(TransferMode.AUTO)
    assert set(feed(transfer, FAST, 50)) == {"raw"}
    assert transfer.bytes_per_s == pytest.approx(FAST)


def test_a_slow_link_gets_jpeg_after_a_few_and_stays_there() -> None:
    transfer = Transfer(TransferMode.AUTO)
    words = feed(transfer, SLOW, 200)
    assert words.index("jpeg") == 3
    assert set(words[3:]) == {"jpeg"}


def test_a_far_one_begins_with_jpeg_and_goes_raw_when_it_is_fast() -> None:
    transfer = Transfer(TransferMode.AUTO, far=True)
    words = feed(transfer, FAST, 40)
    assert words[:FIRST_TRY_AFTER] == ["jpeg"] * FIRST_TRY_AFTER
    assert words[-1] == "raw"


def test_between_the_limits_nothing_changes() -> None:
    rate = RAW / 0.035  # raw takes 35 ms: neither 50 nor 20
    assert set(feed(Transfer(TransferMode.AUTO), rate, 100)) == {"raw"}
    assert set(feed(Transfer(TransferMode.AUTO, far=True), rate, 100)) == {"jpeg"}


def test_size_counts() -> None:
    small = 256 * 256 * 3
    assert set(feed(Transfer(TransferMode.AUTO), 20e6, 50, small)) == {"raw"}
    assert feed(Transfer(TransferMode.AUTO), 20e6, 50, RAW)[-1] == "jpeg"


def test_a_large_picture_may_take_as_long_as_its_jpeg_would() -> None:
    large = 4096 * 4096 * 3
    assert set(feed(Transfer(TransferMode.AUTO), large / 0.2, 50, large)) == {"raw"}
    assert feed(Transfer(TransferMode.AUTO), large / 0.5, 50, large)[-1] == "jpeg"


def test_a_link_that_only_looks_fast_is_tried_less_and_less() -> None:
    """Small files come out of a full buffer at once, large ones don't."""
    transfer = Transfer(TransferMode.AUTO, far=True)
    raw = 0
    for _ in range(3000):
        if transfer.word() == "raw":
            raw += 1
            transfer.came(RAW, RAW / SLOW, RAW)
        else:
            transfer.came(100_000, 0.0, RAW)
    assert 0 < raw < 40


def test_small_messages_say_nothing() -> None:
    transfer = Transfer(TransferMode.AUTO)
    for _ in range(50):
        transfer.came(1000, 1.0, 1000)
    assert transfer.word() == "raw"
    assert transfer.bytes_per_s is None


def test_numbers_are_never_lossy() -> None:
    for mode in (TransferMode.JPEG, TransferMode.WEBP):
        assert Transfer(mode).word(OutputKind.DATA) == "png"
        assert Transfer(mode).word(OutputKind.MASK) == "png"
    assert Transfer(TransferMode.RAW).word(OutputKind.DATA) == "raw"


def test_another_comfyui_is_measured_anew() -> None:
    transfer = Transfer(TransferMode.AUTO)
    feed(transfer, SLOW, 20)
    transfer.forget()
    assert transfer.word() == "raw"
    assert transfer.bytes_per_s is None


def test_a_proxy_that_passes_whole_messages_on_hides_no_slow_link() -> None:
    """Each message is read in a moment; the time since the one before it tells. Raw is tried ever more rarely."""
    transfer = Transfer(TransferMode.AUTO)
    words = []
    for _ in range(2000):
        words.append(transfer.word())
        message_bytes = RAW + 100 if words[-1] == "raw" else RAW // 12
        transfer.came(message_bytes, message_bytes / FAST, RAW, message_bytes / SLOW)
    assert words[:4] == ["raw"] * 3 + ["jpeg"]
    assert words.count("raw") < 40


def test_a_fast_link_goes_raw_though_jpegs_take_time_to_write() -> None:
    transfer = Transfer(TransferMode.AUTO, far=True)
    for _ in range(40):
        message_bytes = RAW + 100 if transfer.word() == "raw" else RAW // 12
        transfer.came(message_bytes, message_bytes / FAST, RAW, 0.015)
    assert transfer.word() == "raw"


def test_more_than_8_bits_are_halves_but_where_files_are_said() -> None:
    far = Transfer(TransferMode.AUTO, far=True)
    assert (far.word(), far.word(bits=16), far.word(OutputKind.MASK, 16)) == ("jpeg", "raw16f", "raw16f")
    words = {mode: Transfer(mode).word(OutputKind.DATA, 16) for mode in TransferMode}
    assert list(words.values()) == ["raw16f", "raw16f", "png", "png", "png"]
