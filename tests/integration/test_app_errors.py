"""What an `error` names, so that who sent no `id` knows what it is about."""

import pytest
from app_rig import AppRig, color, run

from bridge.codec.bridge_messages import Error
from bridge.codec.messages import Image, Ping, Set


@pytest.mark.parametrize("reference", ["second", 2])
def test_a_refused_message_without_id_names_its_stream(tmp_path, reference):
    async def test():
        streams = {name: {"workflow": "photo", "mode": "oneshot"} for name in ("main", "second")}
        async with AppRig(tmp_path, streams) as rig:
            engine = await rig.engine()
            engine.send(Set(stream=reference, params={"fill": color(1)}))
            engine.send(Image(stream=reference, param="picture", value={"encoded": b"no picture"}))
            await engine.ask(Ping)
            errors = engine.of(Error)
            assert [(error.id, error.stream, error.field) for error in errors] == [
                (None, 2, "fill"),
                (None, 2, "picture"),
            ]

    run(test)


def test_an_error_without_a_stream_names_none(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine()
            assert (await engine.refused(Set, stream="none", params={})).stream is None
            assert (await engine.refused(Set, stream="main", params={"none": 1})).stream == 1

    run(test)
