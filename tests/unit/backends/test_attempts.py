"""What ComfyUI's events make of attempts: tables of events in, records out."""

import pytest

from bridge.backends.attempts import Attempt, Attempts
from bridge.backends.records import BackendNodes, BackendPicture, BackendPreview, BackendProgress, Counts
from bridge.codec.comfy_events import (
    Executing,
    ExecutionCached,
    ExecutionError,
    ExecutionInterrupted,
    ExecutionStart,
    ExecutionSuccess,
    ImageEvent,
    NodeProgress,
    ProgressEvent,
    ProgressState,
    StatusEvent,
    TextEvent,
    UnknownEvent,
)
from bridge.errors import BackendError, ErrorCode
from bridge.scheduler.events import AttemptEnded, AttemptLost, AttemptPosted, AttemptStarted

OUTPUTS = {"9": 0, "12": 1}
DATA = memoryview(b"picture")


def image(node="9", prompt="p1", image_format="png"):
    return ImageEvent(prompt, node, image_format, DATA)


class Bench:
    """One attempt, number 1 with prompt "p1", whose POST was answered."""

    def __init__(self, posting=False):
        self.records = []
        self.counts = Counts()
        self.attempts = Attempts("one", self.records.append, self.counts)
        self.attempt = Attempt(1, "p1", OUTPUTS, posted_at=1.0, heard_at=1.0, posting=posting, taken=not posting)
        self.attempts.add(self.attempt)

    def feed(self, *events):
        for event in events:
            self.attempts.handle(event, 2.0)
        return self.records


def began(node):
    return BackendNodes(1, began=node)


def state(**nodes):
    return ProgressState("p1", {name: NodeProgress(1, 1, word) for name, word in nodes.items()})


def picture(node="9", output=0, index=0):
    return BackendPicture("one", 1, node, output, index, "png", DATA, 1.0, 2.0)


START, SUCCESS, END = ExecutionStart("p1"), ExecutionSuccess("p1"), Executing(None, "p1")
STARTED, ENDED = AttemptStarted(1), AttemptEnded(1)

CASES = {
    "a plain run": (
        [START, ExecutionCached("p1"), Executing("9", "p1"), image(), SUCCESS, StatusEvent(0), END],
        [STARTED, began("9"), picture(), ENDED],
    ),
    "what is cached, begins and is done is told once": (
        [START, ExecutionCached("p1", ("1", "2")), state(a="finished"), state(a="finished", b="running"), END],
        [STARTED, BackendNodes(1, cached=("1", "2")), BackendNodes(1, done=("a",)), ENDED],
    ),
    "a node of a subgraph is told by the one that is shown": (
        [START, Executing("5.0.0.1", "p1", "5"), END],
        [STARTED, began("5"), ENDED],
    ),
    "a batch counts per output": (
        [START, image(), image("12"), image(), image("12"), SUCCESS, END],
        [STARTED, picture(), picture("12", 1), picture(index=1), picture("12", 1, 1), ENDED],
    ),
    "a cached run without a picture": ([START, SUCCESS, END], [STARTED, ENDED]),
    "pictures of other nodes are previews": (
        [START, image("5"), image(), END],
        [STARTED, BackendPreview(1, "5", DATA, 1.0, 2.0), picture(), ENDED],
    ),
    "another's frames, progress and ends are dropped": (
        [START, image(prompt="px"), ProgressEvent(1, 2, "px", "9"), Executing(None, "px"), ExecutionStart("px"), END],
        [STARTED, ENDED],
    ),
    "the first executing after a reconnect names no prompt": ([Executing("9", None), START, END], [STARTED, ENDED]),
    "type 1 after progress": (
        [START, ProgressEvent(0, 1, "p1", "9"), image(None, None), END],
        [STARTED, BackendProgress(1, "9", 0, 1), picture(), ENDED],
    ),
    "type 1 after executing": (
        [START, Executing("12", "p1"), image(None, None), END],
        [STARTED, began("12"), picture("12", 1), ENDED],
    ),
    "type 1 after another's progress": (
        [START, Executing("9", "p1"), ProgressEvent(0, 1, "px", "9"), image(None, None), END],
        [STARTED, began("9"), ENDED],
    ),
    "type 1 after an executing without prompt": (
        [START, Executing("9", None), image(None, None), END],
        [STARTED, ENDED],
    ),
    "type 1 with nothing named": ([image(None, None), START, END], [STARTED, ENDED]),
    "text and unknown": ([START, TextEvent("5", "x"), UnknownEvent(1001), UnknownEvent("x.y"), END], [STARTED, ENDED]),
    "the end comes twice": ([START, END, END, image()], [STARTED, ENDED]),
    "an end without a start": ([END], [STARTED, ENDED]),
}


@pytest.mark.parametrize("name", CASES)
def test_events_become_records(name):
    events, records = CASES[name]
    came = Bench().feed(*events)
    if not any(isinstance(record, BackendPicture) for record in records):
        # Each output sends a picture in every prompt: one without any has not gone well, whatever ComfyUI says.
        assert came[-1].error.code is ErrorCode.NO_IMAGE
        came[-1] = ENDED
    assert came == records


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ([], "nothing else came in its place"),
        ([image(prompt="px"), image(prompt="px")], "a picture of another prompt (2 times)"),
        ([image("5")], "a picture of node 5, which is no output of it"),
        ([UnknownEvent(0x54584E32, memoryview(b"x"))], "a binary message of unknown type 0x54584e32"),
        ([UnknownEvent("crystools.monitor")], "nothing else came in its place"),
        ([image(None, None)], "a picture that names no prompt"),
    ],
)
def test_a_prompt_without_a_picture_says_what_came_instead(events, told):
    *_, end = Bench().feed(START, *events, SUCCESS, END)
    assert end.error.code is ErrorCode.NO_IMAGE
    assert told in end.error.message
    assert "(9, 12)" in end.error.message
    assert not end.error.retry


@pytest.mark.parametrize("may", [True, False])
def test_a_node_of_the_pack_that_sends_nothing_has_failed(may):
    bench, failed = Bench(), []
    bench.attempt.raw = True
    bench.attempts.on_node_failed = lambda class_type, words: failed.append(class_type) or may
    *_, end = bench.feed(START, SUCCESS, END)
    assert (failed, end.error.code, end.error.retry) == (["TexBridgeOutput"], ErrorCode.NO_IMAGE, may)


def test_a_prompt_that_nobody_wants_may_end_without_a_picture():
    bench = Bench()
    bench.attempt.withdrawn = True
    assert bench.feed(START, image(), SUCCESS, END) == [STARTED, ENDED]


def test_strays_are_bounded():
    bench = Bench()
    *_, end = bench.feed(START, *(UnknownEvent(1000 + number) for number in range(100)), SUCCESS, END)
    assert end.error.message.count("unknown type") == 8


def test_counts_tell_what_was_dropped():
    bench = Bench()
    bench.feed(START, image("5"), image(prompt="px"), UnknownEvent(7), UnknownEvent("x"), image())
    counts = bench.counts
    assert (counts.previews, counts.foreign, counts.unknown, counts.pictures) == (1, 1, 2, 1)


@pytest.mark.parametrize(
    ("event", "code"),
    [
        (ExecutionError("p1", "3", "LoadImage", "ValueError", "bad"), ErrorCode.EXECUTION_FAILED),
        (ExecutionInterrupted("p1", "3", "LoadImage"), ErrorCode.INTERRUPTED),
    ],
)
def test_an_error_waits_for_the_end(event, code):
    bench = Bench()
    assert bench.feed(START, event) == [STARTED]
    ended = bench.feed(END)[-1]
    assert (type(ended), ended.error.code) == (AttemptEnded, code)


def test_the_end_waits_for_the_answer_to_the_post():
    bench = Bench(posting=True)
    assert bench.feed(START, image(), END) == [STARTED, picture()]
    bench.attempt.posting = False
    bench.attempts.posted(bench.attempt)
    bench.attempts.end_if_over(bench.attempt)
    assert bench.records[2:] == [AttemptPosted(1), ENDED]


def test_a_withdrawn_attempt_gives_no_pictures_and_no_error():
    bench = Bench()
    bench.attempt.withdrawn = True
    bench.feed(START, image(), ProgressEvent(1, 2, "p1", "5"), ExecutionInterrupted("p1"), END)
    assert bench.records == [STARTED, ENDED]
    assert bench.counts.unwanted == 1


def test_out_of_memory_may_be_retried_once_until_something_works():
    bench = Bench()
    freed = []
    bench.attempts.on_out_of_memory = freed.append
    retries = []
    for number in range(1, 6):
        if number > 1:
            bench.attempt = Attempt(number, f"p{number}", OUTPUTS, float(number), 1.0, posting=False)
            bench.attempts.add(bench.attempt)
        if number != 3:
            bench.feed(ExecutionError(f"p{number}", "3", "KSampler", "torch.OutOfMemoryError", "Allocation on device"))
        bench.feed(image(prompt=f"p{number}"), Executing(None, f"p{number}"))
        if number != 3:
            assert bench.attempt in bench.attempts  # the end waits until memory is freed
            bench.attempt.freeing = False
            bench.attempts.freed(number + 0.5)
            bench.attempts.end_if_over(bench.attempt)
            retries.append(bench.records[-1].error.retry)
    assert retries == [True, False, True, False]
    assert len(freed) == 4


def test_memory_is_freed_once_however_often_the_failure_is_told():
    """The history has it too, and is looked at while ComfyUI is busy freeing."""
    bench = Bench()
    freed = []
    bench.attempts.on_out_of_memory = freed.append
    bench.feed(ExecutionError("p1", "3", "KSampler", "torch.OutOfMemoryError", "Allocation on device"))
    for _ in range(3):
        bench.attempts.fail(bench.attempt, BackendError("the same", code=ErrorCode.OUT_OF_MEMORY))
    assert freed == [bench.attempt]
    bench.attempt.freeing = False
    bench.attempts.end_if_over(bench.attempt)
    (end,) = (record for record in bench.records if isinstance(record, AttemptEnded))
    assert "Allocation on device" in end.error.message


def test_what_waited_while_memory_was_freed_has_not_had_its_chance():
    bench = Bench()
    behind = Attempt(2, "p2", OUTPUTS, 1.1, 1.1, posting=False, taken=True)
    bench.attempts.add(behind)
    bench.attempts.on_out_of_memory = lambda attempt: None
    for number in (1, 2):
        bench.feed(ExecutionError(f"p{number}", "3", "KSampler", "torch.OutOfMemoryError", "out of memory"))
        bench.feed(Executing(None, f"p{number}"))
        for attempt in bench.attempts.live():
            attempt.freeing = False
            bench.attempts.freed(2.0)
            bench.attempts.end_if_over(attempt)
    assert [record.error.retry for record in bench.records if isinstance(record, AttemptEnded)] == [True, True]


# --- an attempt whose outputs write files ----------------------------------------------------------------------


def test_the_sockets_end_of_a_file_prompt_only_says_when_to_look():
    bench = Bench()
    bench.attempt.files = True
    looks, voices = [], []
    bench.attempts.on_file_end = lambda: looks.append(1)
    bench.attempts.on_voice = lambda: voices.append(1)
    bench.attempts.silent_sockets = 2
    bench.feed(START, ExecutionError("p1", "3", "X", "E", "m"), SUCCESS, END)
    assert bench.records == [STARTED]
    assert (looks, voices, bench.attempts.silent_sockets) == ([1], [1], 0)
    bench.attempts.expect(bench.attempt, "9", 2)
    for index in range(2):
        bench.attempts.picture(bench.attempt, "9", "png", DATA, 2.0)
        assert bench.records[-1] == picture(index=index)
    bench.attempts.end(bench.attempt)
    bench.attempts.picture(bench.attempt, "9", "png", DATA, 2.0)
    assert bench.records[1] == BackendProgress(1, "9", 0, 2)
    assert bench.records[-1] == ENDED


def test_lost_after_success_has_ended():
    bench = Bench()
    bench.feed(START, image(), SUCCESS)
    bench.attempts.lose(bench.attempt)
    assert bench.records[-1] == ENDED
    other = Bench()
    other.attempts.lose(other.attempt)
    other.attempts.lose(other.attempt)
    other.attempts.end(other.attempt)
    assert other.records == [AttemptLost(1)]


def test_a_number_is_live_once():
    bench = Bench()
    with pytest.raises(ValueError, match="attempt 1"):
        bench.attempts.add(Attempt(1, "p2", OUTPUTS, 1.0, 1.0))
    assert len(bench.attempts) == 1


def test_an_id_that_another_attempt_has_is_not_taken_over():
    """A server that names every prompt alike must not take the records of one attempt away with another."""
    bench = Bench()
    other = Attempt(2, "p2", OUTPUTS, posted_at=1.0, heard_at=1.0, posting=False, taken=True)
    bench.attempts.add(other)
    bench.attempts.rename(bench.attempt, "theirs")
    bench.attempts.rename(other, "theirs")
    bench.attempts.rename(bench.attempt, "theirs")
    bench.attempts.lose(other)
    bench.feed(ExecutionStart("theirs"), image(prompt="theirs"), Executing(None, "theirs"))
    assert bench.records == [AttemptLost(2), STARTED, picture(), ENDED]
    assert not len(bench.attempts)


def test_rename_follows_comfyuis_own_prompt_id():
    bench = Bench()
    bench.attempts.rename(bench.attempt, "theirs")
    bench.feed(ExecutionStart("theirs"), image(prompt="theirs"), Executing(None, "theirs"))
    assert bench.records == [STARTED, picture(), ENDED]
