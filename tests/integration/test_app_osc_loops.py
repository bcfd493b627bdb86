"""What a bridge tells and gets back: no message of it makes another one, or two programs would never be quiet again."""

from pathlib import Path

from app_rig import AppRig, run


def test_two_bridges_that_tell_each_other(tmp_path: Path) -> None:
    """Errors, progress, frames and states come to a program that has no use for them, and end there."""

    async def test() -> None:
        async with AppRig(tmp_path / "one") as one, AppRig(tmp_path / "two") as two:
            ports = [int(rig.server.addresses.osc.rpartition(":")[2]) for rig in (one, two)]
            # Each one's port registered at the other by a third, as a patch that connects the two would.
            sockets = [one.osc(), two.osc()]
            for socket, port in zip(sockets, reversed(ports), strict=True):
                socket.send("/texbridge/reply", port)
            sockets[0].send("/texbridge/main/nothing", 1)
            sockets[0].send("/texbridge/nobody/fill", 1)
            sockets[0].send("/texbridge/main/run")
            await one.until(lambda: bool(one.ears.released), "a picture")
            hubs = [next(each for each in rig.bridge.listeners if hasattr(each, "targets")) for rig in (one, two)]
            # Behind all that was told comes a value: it goes the same way, after it.
            await (await one.engine()).set("main", params={"note": "the last"})
            await two.until(lambda: two.bridge.streams.find("main").values["note"] == "the last", "the value")
            assert hubs[0].counts["rejected_unknown_parameter"] == 1
            assert hubs[0].counts["rejected_unknown_stream"] == 1
            assert not any(count for name, count in hubs[1].counts.items() if name.startswith("rejected"))
            assert hubs[1].counts["ignored"] >= 3

    run(test)
