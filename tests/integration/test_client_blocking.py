"""The blocking client against a bridge in another thread."""

import queue
import threading

import pytest
from bridge_rig import ThreadedBridge
from ports import ReservedPort

from bridge.client import BlockingClient, LinkLostError
from bridge.errors import ErrorCode, UnknownNameError
from bridge.types import Outcome

TIME_S = 20.0


@pytest.fixture
def rig():
    with ThreadedBridge() as rig:
        yield rig


@pytest.mark.parametrize("kind", ["tcp", "websocket"])
def test_the_example_of_the_readme(rig, kind, capsys):
    with BlockingClient(rig.address(kind)) as client:
        frames = client.subscribe("main", format="rgba8", origin="bottom_left")
        client.set("main", {"blur": 0.5})
        frame = frames.next(timeout_s=TIME_S)
        print(frame.pixels.shape)
    assert capsys.readouterr().out == "(512, 512, 4)\n"


def test_the_verbs(rig):
    with BlockingClient(rig.address("tcp"), client="blocking") as client:
        assert client.is_connected
        assert client.welcome.formats
        assert client.open("sky", "gradient", "oneshot", {"noise": 0.0}, size=(64, 32)).created
        frames = client.subscribe("sky", "rgb8")
        assert frames.subscribed.format == "rgb8"
        wanted = client.run("sky", {"blur": 0.5}, seed=3)
        answer = wanted.finished(TIME_S)
        assert (answer.outcome, answer.request, answer.seed) == (Outcome.DONE, wanted.request, 3)
        assert answer.key == wanted.key
        assert wanted.is_finished
        for frame in frames:
            if not frame.held:
                break
        assert frame.header.request == wanted.request
        assert frame.pixels.shape == (32, 64, 3)
        assert frames.missed <= 1
        assert client.stats("sky").sent == 1
        assert client.cancel(stream="sky") == []
        assert client.cancel(wanted) == []
        assert client.describe("sky").size == (64, 32)
        assert client.ping() >= 0
        client.live("sky", False)
        client.panic()
        client.resume()
        assert frames.next(TIME_S).held  # the panic picture
        with frames, pytest.raises(TimeoutError):
            frames.next(timeout_s=0.01)
        assert list(frames) == []
        client.close_stream("sky")
        with pytest.raises(UnknownNameError) as caught:
            client.set("nowhere", {})
        assert caught.value.code is ErrorCode.UNKNOWN_STREAM


def test_close_wakes_other_threads(rig):
    client = BlockingClient(rig.address("tcp"))
    client.open("sky", "gradient", "oneshot", size=(64, 32))
    frames = client.subscribe("sky")
    frames.next(TIME_S)
    caught = []

    def wait():
        try:
            frames.next()
        except LinkLostError as error:
            caught.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    client.close()
    thread.join(TIME_S)
    assert len(caught) == 1
    client.close()
    with pytest.raises(LinkLostError, match="closed"):
        client.ping()


def test_a_call_from_on_event_is_refused(rig):
    caught = queue.Queue()
    clients = []

    def on_event(event):
        for client in clients:
            with pytest.raises(RuntimeError, match="would wait for itself"):
                client.ping()
            caught.put(event)

    with BlockingClient(rig.address("tcp"), on_event=on_event) as client:
        client.open("sky", "gradient", "oneshot", size=(64, 32))
        clients.append(client)
        with BlockingClient(rig.address("tcp")) as other:
            other.set("sky", {"blur": 0.75})
        assert caught.get(timeout=TIME_S)


def test_nobody_there():
    before = set(threading.enumerate())
    with ReservedPort() as port, pytest.raises(LinkLostError, match="no bridge answers at"):
        BlockingClient(f"127.0.0.1:{port}")
    assert not set(threading.enumerate()) - before
