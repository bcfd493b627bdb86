"""binding.toml: every key read, everything unknown or of the wrong type refused with words."""

import pytest

from bridge.errors import WorkflowError
from bridge.types import Curve, OutputKind, ParameterType
from bridge.workflow import binding_file
from bridge.workflow.binding_file import BindingFile, OutputEntry, ParameterEntry, parse_binding_file

WHOLE = """
label = "Gradient"
description = "Colours."
[size]
width = "1.width"
height = ["1.height", "title:Big one.height"]
step = 16
maximum = 2048
[seed]
inputs = ["5.seed", "6.noise_seed"]
[parameters.blur]
input = "3.blur_radius"
label = "Blur"
type = "int"
min = 1
max = 31
step = 2
default = 3
unit = "px"
curve = "exp"
out_of_range = "reject"
[parameters.mode]
choices = ["a", "b"]
multiline = true
out_of_range = "clamp"
[outputs.depth]
node = "title:Depth"
kind = "mask"
[outputs.image]
node = "7"
"""


def test_every_key_is_read() -> None:
    assert parse_binding_file(WHOLE.encode()) == BindingFile(
        label="Gradient",
        description="Colours.",
        width=("1.width",),
        height=("1.height", "title:Big one.height"),
        size_step=16,
        size_maximum=2048,
        seed=("5.seed", "6.noise_seed"),
        parameters={
            "blur": ParameterEntry(
                name="blur",
                inputs=("3.blur_radius",),
                label="Blur",
                type=ParameterType.INT,
                minimum=1,
                maximum=31,
                step=2,
                default=3,
                unit="px",
                curve=Curve.EXP,
                clamp=False,
            ),
            "mode": ParameterEntry(name="mode", choices=("a", "b"), multiline=True, clamp=True),
        },
        outputs=(OutputEntry("depth", "title:Depth", OutputKind.MASK), OutputEntry("image", "7")),
    )


def test_an_empty_file_says_nothing() -> None:
    assert parse_binding_file(b"") == BindingFile()
    assert parse_binding_file(b"\xef\xbb\xbf# only a comment\n") == BindingFile()


PROBLEMS = [
    ("lable = 'x'", "binding.toml: unknown key 'lable'; did you mean 'label'?"),
    (
        "zzz = 1",
        "binding.toml: unknown key 'zzz'; keys here are label, description, size, seed, parameters, outputs, feedback",
    ),
    ("label = 3", "binding.toml: label must be a text, not '3'"),
    ("size = 3", "[size]: must be a table, not 3"),
    ("[size]\nwidth = '1.w'", "[size]: needs both width and height"),
    ("[size]\nwidth='1.w'\nheight='1.h'\nmax = 3", "[size]: unknown key 'max'; did you mean 'maximum'?"),
    ("[size]\nwidth='1.w'\nheight='1.h'\nstep = 0", "[size]: step must be a whole number 1..16384, not '0'"),
    ("[size]\nwidth='1.w'\nheight=3", "[size]: height must be an input like \"3.width\", or a list of them, not '3'"),
    ("[seed]\ninput = []", "[seed]: input must be an input like \"3.width\", or a list of them, not '[]'"),
    ("[seed]\ninput='1.a'\ninputs=['1.b']", "[seed]: has input and inputs; keep one"),
    ("parameters = 3", "[parameters]: must hold tables like [parameters.name], not 3"),
    ("[parameters]\nblur = '3.x'", "[parameters.blur]: must be a table, not '3.x'"),
    ("[parameters.run]\ninput='1.a'", "parameter 'run': the word is reserved; call it 'run_amount'"),
    ("[parameters.x]\nminimum=3", "[parameters.x]: unknown key 'minimum'; did you mean 'min'?"),
    ("[parameters.x]\nmin=inf", "[parameters.x]: min must be a finite number, not 'inf'"),
    ("[parameters.x]\nmax=true", "[parameters.x]: max must be a finite number, not 'True'"),
    (
        "[parameters.x]\ntype='colour'",
        "[parameters.x]: type is 'colour'; it is one of int, float, bool, string, choice, seed, color, vec2, vec3, "
        "vec4, image (did you mean 'color'?)",
    ),
    ("[parameters.x]\ncurve='cubic'", "[parameters.x]: curve is 'cubic'; it is one of linear, log, exp"),
    ("[parameters.x]\nout_of_range=1", "[parameters.x]: out_of_range is '1'; it is one of clamp, reject"),
    ("[parameters.x]\nmultiline=1", "[parameters.x]: multiline must be true or false, not '1'"),
    ("[parameters.x]\nchoices=['a', 1]", "[parameters.x]: choices must be a list of texts, not \"['a', 1]\""),
    ("[outputs.depth]", '[outputs.depth]: needs node, e.g. node = "7" or node = "title:Depth"'),
    ("[outputs.depth]\nnode=7", "[outputs.depth]: node must be a text, not '7'"),
    ("[outputs.depth]\nnode='7'\nbits=12", "[outputs.depth]: bits must be 8 or 16, not '12'"),
    ("[outputs.depth]\nnode='7'\nbits=true", "[outputs.depth]: bits must be 8 or 16, not 'True'"),
    ("[outputs.depth]\nnode='7'\nkind='rgb'", "[outputs.depth]: kind is 'rgb'; it is one of color, data, mask"),
]


@pytest.mark.parametrize(("text", "problem"), PROBLEMS)
def test_problems_name_table_and_key(text: str, problem: str) -> None:
    with pytest.raises(WorkflowError) as caught:
        parse_binding_file(text.encode())
    assert caught.value.problems[0] == problem


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\xff", r"binding.toml is not UTF-8 text \(byte 0\)"),
        (b"a = ", "binding.toml is not TOML: Invalid value"),
        (b"a = 1\na = 2", "binding.toml is not TOML: Cannot overwrite a value"),
        (b"a = " + b"[" * 100_000, "binding.toml is not TOML"),
        (b"a = " + b"9" * 5000, "binding.toml is not TOML"),
    ],
)
def test_what_is_no_toml_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(WorkflowError, match=words):
        parse_binding_file(data)


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binding_file, "MAX_PARAMETERS", 1)
    with pytest.raises(WorkflowError, match=r"\[parameters\]: has 2, more than 1"):
        parse_binding_file(b"[parameters.a]\n[parameters.b]")
    monkeypatch.setattr(binding_file, "MAX_BINDING_BYTES", 3)
    with pytest.raises(WorkflowError, match="has 4 bytes, more than 3"):
        parse_binding_file(b"#   ")
