from bridge.client.recovery import Opened
from bridge.codec.messages import Live, Open, StreamSummary
from bridge.types import Mode, SeedPolicy


def open_message(stream="sky", mode=Mode.LATEST, **fields):
    return Open(stream=stream, workflow="gradient", mode=mode, **fields)


def test_values_and_options_are_kept():
    opened = Opened()
    opened.opened(open_message(params={"a": 1, "b": 1}, size=(8, 8), id=5), 2)
    opened.values_set("sky", {"b": 2})
    opened.values_set(2, {"c": 3})
    opened.values_set("another", {"d": 4})
    opened.values_set("sky", {})
    opened.opened(open_message(params={"a": 9}, seed_policy=SeedPolicy.RANDOM), 2)
    assert list(opened.messages()) == [
        open_message(params={"b": 2, "c": 3, "a": 9}, size=(8, 8), seed_policy=SeedPolicy.RANDOM)
    ]


def test_replace_begins_from_the_defaults_and_is_not_said_again():
    opened = Opened()
    opened.opened(open_message(params={"a": 1}), 2)
    opened.live_switched("sky", True)
    opened.opened(open_message(params={"b": 1}, replace=True), 2)
    assert list(opened.messages()) == [open_message(params={"b": 1})]


def test_the_size_that_held_is_asked_for_again():
    opened = Opened()
    opened.opened(open_message(aspect="16:9", megapixels=1.0), 2, (1368, 768))
    assert list(opened.messages()) == [open_message(aspect="16:9", megapixels=1.0)]
    opened.opened(open_message(), 2, (1368, 768))
    assert list(opened.messages()) == [open_message(aspect="16:9", megapixels=1.0)]
    # An aspect alone keeps the number of pixels that there were, which a new bridge can't know.
    opened.opened(open_message(aspect="1:1"), 2, (1024, 1024))
    assert list(opened.messages()) == [open_message(size=(1024, 1024))]
    opened.opened(open_message(size=(8, 8)), 2)
    assert list(opened.messages()) == [open_message(size=(8, 8))]


def test_live():
    opened = Opened()
    opened.opened(open_message("one"), 1)
    opened.opened(open_message("two", Mode.LIVE), 2)
    opened.live_switched(1, True)
    opened.live_switched("two", True)
    opened.live_switched("foreign", True)
    assert [message for message in opened.messages() if isinstance(message, Live)] == [Live(stream="one", on=True)]
    opened.all_live_off()
    assert [message for message in opened.messages() if isinstance(message, Live)] == [Live(stream="two", on=False)]


def test_closed_streams_are_forgotten():
    opened = Opened()
    opened.opened(open_message("one"), 1)
    opened.opened(open_message("two"), 2)
    opened.closed("one")
    opened.closed(2)
    opened.closed("foreign")
    assert list(opened.messages()) == []


def test_numbers_of_another_boot():
    opened = Opened()
    opened.learn([StreamSummary("main", 1, "gradient", Mode.LIVE, "ready")])
    opened.opened(open_message(), 2)
    assert opened.names == {1: "main", 2: "sky"}
    opened.learn([StreamSummary("main", 3, "gradient", Mode.LIVE, "ready")], anew=True)
    assert opened.names == {3: "main"}
