"""`[[map]]` of the configuration: what becomes of it, and what a mistake reads like."""

import msgspec
import pytest

from bridge.app.config.map import MapConfig, map_spec, map_specs
from bridge.errors import ConfigError
from bridge.streams.mapping import MapSpec
from bridge.types import Curve, ParameterSpec, ParameterType


class Main:
    def __init__(self) -> None:
        self.parameters = {"blur": ParameterSpec("blur", "Blur", ParameterType.FLOAT, 0.0, 0.0, 10.0)}


def entry(**keys) -> MapConfig:
    return msgspec.convert({"address": "/1/fader1", "to": "main/blur", **keys}, MapConfig, strict=False)


@pytest.mark.parametrize("to", ["main/blur", "/main/blur", "/texbridge/main/blur"])
def test_without_more_keys_it_goes_as_it_comes(to):
    assert map_spec(1, entry(to=to)) == MapSpec("/1/fader1", "/texbridge/main/blur", plain=True)
    spec = map_spec(1, entry(to=to, feedback=True))
    assert (spec.plain, spec.feedback) == (True, True)
    assert map_spec(1, entry(to=to, argument=2)) == MapSpec("/1/fader1", "/texbridge/main/blur", 2, plain=True)


def test_every_key():
    keys = {"in": [0, 127], "out": [1, 10], "curve": "log", "invert": True, "smoothing_s": 0.2, "deadband": 0.1}
    spec = map_spec(1, entry(argument=1, silent_after_s=5, silent_value=2, **keys))
    assert spec == MapSpec(
        "/1/fader1", "/texbridge/main/blur", 1, False, 0, 127, 1, 10, Curve.LOG, True, True, 0.2, 0.1, 5, 2
    )


def test_silence_is_the_low_end_unless_said():
    assert map_spec(1, entry(out=[3, 10], silent_after_s=5)).silent_value == 3


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"address": "1/fader1"}, "begins with /, e.g. /1/fader1"),
        ({"in": [1, 1]}, "which is no range"),
        ({"in": [0, float("inf")]}, "finite"),
        ({"out": [-1.5e308, 1.5e308]}, "finite"),
        ({"curve": "log"}, "needs both ends of out over 0"),
        ({"curve": "exp", "clamp": False}, "without clamp"),
        ({"silent_value": 1}, "needs silent_after_s"),
        ({"silent_after_s": 1, "silent_value": float("nan")}, "finite"),
        ({"to": "main/blurr"}, "nearest is /texbridge/main/blur"),
        ({"to": "mian/blur"}, "nearest is /texbridge/main/blur"),
        ({"to": "main/blur/x"}, "nearest is /texbridge/main/blur"),
        ({"to": "reply"}, "can't be moved"),
        ({"feedback": True, "argument": 1}, "one address with one value"),
        ({"feedback": True, "address": "/1/fader?"}, "one address with one value"),
        ({"feedback": True, "to": "main/run"}, "main/run has no value"),
        ({"feedback": True, "out": [1, 1]}, "two different numbers for out"),
    ],
)
def test_mistakes(keys, words):
    with pytest.raises(ConfigError) as caught:
        map_specs((entry(), entry(**keys)), {"main": Main()})
    assert words in str(caught.value)
    assert "[[map]] 2" in str(caught.value)
