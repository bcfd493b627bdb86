"""What is logged of panic, freeze and blackout: what was switched, once, and by whom."""

from app_rig import AppRig, run

from bridge.codec.messages import Blackout, Freeze, Panic, Resume


def test_switches_are_logged_with_who_switched(tmp_path, caplog):
    caplog.set_level("INFO", "bridge.app")

    def told(words):
        return [line for line in caplog.messages if line.startswith(words)]

    async def test():
        async with AppRig(tmp_path) as rig:
            engine, osc = await rig.engine(hello={"client": "Show\n1"}), rig.osc()
            await engine.ask(Freeze, stream="main", on=True)
            await engine.ask(Freeze, stream="main", on=True)  # said twice
            (line,) = told("freeze on: stream main")
            assert r"'Show\n1' at 127.0.0.1:" in line
            await engine.ask(Blackout, stream="main", on=True, fade_s=0.5)
            await engine.ask(Freeze, stream="main", on=False)
            assert told("blackout on: stream main")
            assert told("freeze off: stream main")
            osc.send("/texbridge/main/blackout", 0)
            osc.send("/texbridge/panic")
            await rig.until(lambda: rig.server.actions.panicked, "panic")
            assert "by 'OSC' at 127.0.0.1:" in told("panic")[0]
            assert told("blackout off: stream main")
            await engine.ask(Panic)
            assert len(told("panic")) == 1
            await engine.ask(Resume)
            assert "'Show" in told("resume")[0]
            for line in caplog.messages:
                assert engine.welcome.session not in line

    run(test)
