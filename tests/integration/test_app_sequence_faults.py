"""What went wrong with sequences once, over real sockets."""

from app_rig import AppRig, color, run

from bridge.codec.messages import Ack, Sequence
from bridge.types import Delivery


async def sequence(engine, frames, stream="main", **fields):
    tracks = {"fill": [[index, color(index)] for index in range(frames)]}
    answer = await engine.ask(Sequence, stream=stream, frames=frames, **{"tracks": tracks, **fields})
    return answer.request


def test_a_lost_ack_is_said_again_before_its_set_is_sent_again(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine()
            engine.acks = False
            await engine.subscribe(credit=3, delivery=Delivery.LOSSLESS)
            request = await sequence(engine, 20)
            await engine.until(lambda: len(engine.frames) == 3, "what credit allows")
            have = engine.frames[-1].header.number
            await engine.cut()
            back = await rig.engine(greet=False)
            back.acks = False
            await back.greet(session=engine.welcome.session)
            back.send(Ack(stream="main", number=have))
            await back.until(lambda: any(frame.header.number > have for frame in back.frames), "a set that is new")
            back.acks = True
            back.send(Ack(stream="main", number=back.frames[-1].header.number))
            (answer,) = await back.finish(request)
            assert answer.outcome == "done"
            await back.frame(lambda frame: frame.header.index == 19)

    run(test)
