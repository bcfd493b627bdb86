"""`texbridge panic`, `resume` and `blackout`, against a bridge that runs."""

import pytest
from cli_rig import Home

from bridge.client import BlockingClient
from bridge.errors import NotAllowedError


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


def test_panic_resume_and_blackout_reach_the_bridge(home):
    with home.serve("--embedded") as running, BlockingClient(running.addresses["tcp"]) as client:
        to = ("--to", running.addresses["tcp"])
        frames = client.subscribe("main")
        while frames.next(timeout_s=30).held:
            pass
        assert home.run("panic", *to).code == 0
        with pytest.raises(NotAllowedError):
            client.run("main")
        assert home.run("resume", *to).code == 0
        assert client.run("main").finished(30).outcome == "done"
        assert home.run("blackout", *to, "--fade", "0.1").code == 0
        while (frames.next(timeout_s=30).pixels[..., :3]).any():
            pass
        assert home.run("blackout", "main", *to, "--off").code == 0
        while not (frames.next(timeout_s=30).pixels[..., :3]).any():  # the end of the fade may come as well
            pass
        done = home.run("blackout", "mian", *to)
        assert done.code == 2
        assert "mian" in done.err


def test_without_a_bridge_they_say_what_to_do(home):
    done = home.run("panic", "--to", "127.0.0.1:9")
    assert (done.code, done.out) == (1, "")
    assert "texbridge serve" in done.err
    assert home.run("blackout", "--fade", "-1").code == 2
