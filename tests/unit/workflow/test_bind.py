"""What is proposed for whole files, and that it loads; the second time, after the workflow was changed."""

import json

import pytest
from ui_files import INFO, NAMES, ui_file
from workflow_files import graph, node

from bridge.app.data import data_folder
from bridge.errors import WorkflowError
from bridge.types import Size
from bridge.workflow.bind import bind_workflow

SHIPPED = ("txt2img_turbo", "txt2img_lcm", "img2img_turbo", "depth_controlnet", "gradient", "shapes")


def bound(data, before=None, name="try", info=INFO):
    return bind_workflow(name, data, info, before)


def files_of(result):
    return {"workflow_api.json": result.workflow_json, "binding.toml": result.binding_toml}


def places(result):
    return {each.name: sorted(".".join(place) for place in each.places) for each in result.proposal.parameters}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "sd15_txt2img",
            {
                "prompt": ["6.text"],
                "negative": ["7.text"],
                "steps": ["3.steps"],
                "cfg": ["3.cfg"],
                "sampler": ["3.sampler_name"],
                "scheduler": ["3.scheduler"],
            },
        ),
        (
            "sdxl_two_samplers",
            {
                "prompt": ["15.text", "6.text"],
                "negative": ["16.text", "7.text"],
                "steps": ["10.steps", "11.steps"],
                "base_cfg": ["10.cfg"],
                "refiner_cfg": ["11.cfg"],
                "sampler": ["10.sampler_name", "11.sampler_name"],
                "scheduler": ["10.scheduler", "11.scheduler"],
            },
        ),
        (
            "img2img_controlnet",
            {
                "prompt": ["3.text"],
                "negative": ["4.text"],
                "camera": ["5.image"],
                "control_image": ["8.image"],
                "steps": ["11.steps"],
                "cfg": ["11.cfg"],
                "denoise": ["11.denoise"],
                "sampler": ["11.sampler_name"],
                "scheduler": ["11.scheduler"],
                "lora_strength": ["2.strength_clip", "2.strength_model"],
                "control_strength": ["10.strength"],
            },
        ),
        (
            "flux",
            {
                "prompt": ["6.text"],
                "steps": ["17.steps"],
                "guidance": ["26.guidance"],
                "sampler": ["16.sampler_name"],
                "scheduler": ["17.scheduler"],
            },
        ),
        (
            "reroutes_and_primitives",
            {
                "prompt": ["3.text"],
                "negative": ["4.text"],
                "steps": ["6.steps"],
                "second_pass_steps": ["7.steps"],
                "cfg": ["6.cfg", "7.cfg"],
                "denoise": ["7.denoise"],
                "sampler": ["6.sampler_name", "7.sampler_name"],
                "scheduler": ["6.scheduler", "7.scheduler"],
                "softness_blur_radius": ["10.blur_radius"],
                "softness_sigma": ["10.sigma"],
            },
        ),
        (
            "subgraphs",
            {
                "prompt": ["10:8:1.text"],
                "prompt_2": ["11:8:1.text"],
                "negative": ["10:3.text", "11:3.text"],
                "steps": ["10:5.steps"],
                "steps_2": ["11:5.steps"],
                "cfg": ["10:5.cfg", "11:5.cfg"],
                "sampler": ["10:5.sampler_name", "11:5.sampler_name"],
                "scheduler": ["10:5.scheduler", "11:5.scheduler"],
            },
        ),
    ],
)
def test_what_is_proposed(name, expected):
    assert places(bound(ui_file(name))) == expected


@pytest.mark.parametrize(
    ("name", "size", "widths", "seeds"),
    [
        ("sd15_txt2img", Size(512, 768), {"5.width"}, {"3.seed"}),
        ("sdxl_two_samplers", Size(1024, 1024), {"5.width"}, {"10.noise_seed", "11.noise_seed"}),
        ("img2img_controlnet", Size(768, 512), {"6.width"}, {"11.seed"}),
        ("flux", Size(1024, 768), {"27.width", "30.width"}, {"25.noise_seed"}),
        ("subgraphs", Size(640, 512), {"2.width"}, {"10:5.seed", "11:5.seed"}),
    ],
)
def test_size_and_seed(name, size, widths, seeds):
    result = bound(ui_file(name))
    assert result.workflow.spec.size == size
    assert {".".join(place) for place in result.proposal.size.widths} == widths
    assert {".".join(place) for place in result.proposal.seed.places} == seeds
    assert result.workflow.spec.has_seed


def test_why_and_what_not():
    result = bound(ui_file("img2img_controlnet"))
    reasons = {each.name: each.reason for each in result.proposal.parameters}
    assert reasons["prompt"] == "feeds positive of node 11 (KSampler), through ControlNetApplyAdvanced"
    assert reasons["negative"].startswith("feeds negative of node 11")
    left = {".".join(each.place): each.reason for each in result.proposal.left_out}
    assert "which model file" in left["1.ckpt_name"]
    assert "10.start_percent" in left
    assert [output.name for output in result.workflow.spec.outputs] == ["image", "seen_by_the_camera"]
    text = result.binding_toml.decode()
    assert "# feeds positive of node 11 (KSampler), through ControlNetApplyAdvanced" in text
    assert 'input = "title:What to draw.text"' in text


def test_ranges_suit_a_fader_and_hold_the_graphs_own_value():
    specs = {spec.name: spec for spec in bound(ui_file("sd15_txt2img")).workflow.spec.parameters}
    assert (specs["steps"].minimum, specs["steps"].maximum) == (1, 50)
    data = json.loads(ui_file("sd15_txt2img"))
    data["nodes"][4]["widgets_values"][2:4] = [120, 0.5]
    specs = {spec.name: spec for spec in bound(json.dumps(data).encode()).workflow.spec.parameters}
    assert (specs["steps"].minimum, specs["steps"].maximum) == (1, 120)
    assert (specs["cfg"].minimum, specs["cfg"].maximum) == (0.5, 20)


def test_the_nodes_own_range_stands_as_a_remark():
    """What a person narrows for a fader; without it nobody knows the keys, nor that x reaches 16384."""
    sun = node("ImageCompositeMasked", "Sun", destination=["1", 0], source=["1", 0], x=3, y=4, resize_source=False)
    data = graph(
        n1=node("EmptyImage", width=64, height=64, batch_size=1, color=0),
        n3=sun,
        n4=node("SaveImage", images=["3", 0], filename_prefix="x"),
    )
    text = bound(data).binding_toml.decode()
    assert 'label = "Sun: x"\n# min = 0\n# max = 16384\n' in text
    assert bound(data, files_of(bound(data))).binding_toml.decode() == text


def test_a_number_without_ends_has_the_range_of_what_it_is_led_to():
    """A PrimitiveFloat takes 63 bits, of which a fader's 0..1 would make nonsense."""
    data = graph(
        n1=node("EmptyImage", width=64, height=64, batch_size=1, color=0),
        n2=node("PrimitiveFloat", "Fade", value=0.4),
        n3=node("PrimitiveInt", "Anything", value=7),
        n4=node("ImageBlend", image1=["1", 0], image2=["1", 0], blend_factor=["2", 0], blend_mode="normal"),
        n5=node("PreviewAny", source=["3", 0]),
        n6=node("SaveImage", images=["4", 0], filename_prefix="x"),
    )
    found = {spec.name: (spec.minimum, spec.maximum) for spec in bound(data).workflow.spec.parameters}
    assert found["fade"] == (0.0, 1.0)


def test_a_negative_prompt_that_is_zeroed_is_none():
    data = graph(
        n1=node("CheckpointLoaderSimple", ckpt_name="m.safetensors"),
        n2=node("CLIPTextEncode", text="a", clip=["1", 1]),
        n3=node("ConditioningZeroOut", conditioning=["2", 0]),
        n4=node("EmptyLatentImage", width=64, height=64, batch_size=1),
        n5=node(
            "KSampler", seed=1, steps=4, cfg=1.0, sampler_name="euler", scheduler="simple", denoise=1.0,
            model=["1", 0], positive=["2", 0], negative=["3", 0], latent_image=["4", 0],
        ),
        n6=node("VAEDecode", samples=["5", 0], vae=["1", 2]),
        n7=node("SaveImage", images=["6", 0], filename_prefix="x"),
    )  # fmt: skip
    found = places(bound(data))
    assert found["prompt"] == ["2.text"]
    assert "negative" not in found


@pytest.mark.parametrize("name", SHIPPED)
def test_titles_come_first_and_hold(name):
    """A graph whose titles say everything needs nothing else, and its names are those of the titles."""
    data = (data_folder("workflows") / name / "workflow_api.json").read_bytes()
    result = bound(data)
    titled = {each.name for each in result.proposal.parameters if each.origin == "title"}
    assert titled or name == "shapes"
    assert titled <= {spec.name for spec in result.workflow.spec.parameters}


def test_a_graph_without_a_sampler():
    data = graph(
        n1=node("EmptyImage", width=64, height=64, batch_size=1, color=255),
        n2=node("ImageBlur", image=["1", 0], blur_radius=3, sigma=1.5),
        n3=node("SaveImage", images=["2", 0], filename_prefix="x"),
    )
    assert set(places(bound(data))) == {"color", "blur_radius", "sigma"}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"no json", "is not JSON"),
        (graph(n1=node("EmptyImage", width=64, height=64, batch_size=1, color=0)), "no image output"),
        (b'{"nodes": []}', "no node that runs"),
    ],
)
def test_what_makes_no_workflow(data, words):
    with pytest.raises(WorkflowError, match=words):
        bound(data)


# --- the second time ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_again_is_the_same(name):
    first = bound(ui_file(name))
    again = bound(ui_file(name), files_of(first))
    assert again.binding_toml == first.binding_toml
    assert (again.added, again.proposal.gone) == ((), ())
    assert set(again.kept) >= {each.name for each in first.proposal.parameters}


def renumbered(data, offset=100):
    """The file with other node ids, in another order."""
    old = json.loads(data)
    return json.dumps(
        {
            str(int(node_id) + offset): {
                **entry,
                "inputs": {
                    name: [str(int(value[0]) + offset), value[1]] if isinstance(value, list) else value
                    for name, value in entry["inputs"].items()
                },
            }
            for node_id, entry in reversed(old.items())
        }
    ).encode()


@pytest.mark.parametrize("name", [name for name in NAMES if name != "subgraphs"])
def test_other_ids_change_no_name(name):
    first = bound(ui_file(name))
    data = renumbered(first.workflow_json)
    again = bound(data, files_of(first))
    assert [spec.name for spec in again.workflow.spec.parameters] == [
        spec.name for spec in first.workflow.spec.parameters
    ]
    assert again.proposal.gone == ()
    for spec, before in zip(again.workflow.spec.parameters, first.workflow.spec.parameters, strict=True):
        assert spec == before
    expected = {
        key: [f"{int(p.split('.')[0]) + 100}.{p.split('.')[1]}" for p in each] for key, each in places(first).items()
    }
    assert {key: sorted(each) for key, each in places(again).items()} == {k: sorted(v) for k, v in expected.items()}


def test_hands_own_words_and_ranges_stay():
    first = bound(ui_file("sd15_txt2img"))
    text = first.binding_toml.decode()
    text = text.replace("[parameters.prompt]", "[parameters.scene]").replace(
        'label = "Prompt"', 'label = "What to see"'
    )
    text = text.replace("max = 50", 'max = 30\ndefault = 12\nunit = "x"\nout_of_range = "reject"')
    text = text.replace("[size]", "[size]\nmaximum = 1024")
    cut = text.index("# sampler_name of node 3")
    text = text[:cut] + text[text.index("# scheduler of node 3") :]
    again = bound(renumbered(first.workflow_json), {**files_of(first), "binding.toml": text.encode()})
    specs = {spec.name: spec for spec in again.workflow.spec.parameters}
    assert list(specs) == ["scene", "negative", "steps", "cfg", "scheduler"]
    assert specs["scene"].label == "What to see"
    assert (specs["steps"].maximum, specs["steps"].default, specs["steps"].unit) == (30, 12, "x")
    assert specs["steps"].clamp is False
    assert again.workflow.spec.size_maximum == 1024
    left = {".".join(each.place): each.reason for each in again.proposal.left_out}
    assert left["103.sampler_name"] == "the binding.toml before leaves it out too"
    third = bound(renumbered(first.workflow_json), files_of(again))
    assert third.binding_toml == again.binding_toml


def changed(first, change):
    data = json.loads(first.workflow_json)
    change(data)
    return bound(json.dumps(data).encode(), files_of(first))


def test_what_is_gone_is_named_and_what_is_new_is_added():
    first = bound(ui_file("img2img_controlnet"))

    def change(data):
        del data["2"]  # the LoRA
        for entry in data.values():
            for name, value in entry["inputs"].items():
                if isinstance(value, list) and value[0] == "2":
                    entry["inputs"][name] = ["1", value[1]]
        data["30"] = node("ImageBlur", "Haze", image=["12", 0], blur_radius=2, sigma=0.5)
        data["13"]["inputs"]["images"] = ["30", 0]

    again = changed(first, change)
    assert again.proposal.gone == ('lora_strength: node 2 "Load LoRA" (LoraLoader) is no longer in the graph',)
    assert again.added == ("haze_blur_radius", "haze_sigma")
    assert "prompt" in again.kept


def test_an_input_that_is_linked_now_is_followed_or_gone():
    first = bound(ui_file("sd15_txt2img"))

    def to_primitive(data):
        data["40"] = node("PrimitiveInt", "Steps", value=20)
        data["3"]["inputs"]["steps"] = ["40", 0]

    again = changed(first, to_primitive)
    assert places(again)["steps"] == ["40.value"]

    def to_picture_size(data):
        data["40"] = node("GetImageSize", image=["8", 0])
        data["41"] = node("CLIPTextEncode", clip=["4", 1], text=["42", 0])
        data["42"] = node("StringConcatenate", string_a="a", string_b="b", delimiter="")
        data["3"]["inputs"]["positive"] = ["41", 0]
        data["6"]["inputs"]["text"] = ["42", 0]

    again = changed(first, to_picture_size)
    assert any("linked now" in line or "no longer" in line for line in again.proposal.gone)


def test_a_kept_range_is_widened_for_the_graphs_own_value():
    first = bound(ui_file("sd15_txt2img"))
    again = changed(first, lambda data: data["3"]["inputs"].update(steps=80))
    assert {spec.name: spec.maximum for spec in again.workflow.spec.parameters}["steps"] == 80
    assert "steps: max was 50, is 80 now, which the graph holds" in again.proposal.notes


def test_another_workflow_is_not_taken_for_the_same():
    first = bound(ui_file("sd15_txt2img"))
    other = graph(
        n1=node("EmptyImage", width=64, height=64, batch_size=1, color=255),
        n2=node("ImageBlur", image=["1", 0], blur_radius=3, sigma=1.5),
        n3=node("SaveImageWebsocket", images=["2", 0]),
    )
    assert not bound(other, files_of(first)).is_same
    assert bound(ui_file("sd15_txt2img"), files_of(first)).is_same


def test_the_binding_before_must_be_readable():
    first = bound(ui_file("sd15_txt2img"))
    with pytest.raises(WorkflowError, match=r"binding\.toml"):
        bound(ui_file("sd15_txt2img"), {**files_of(first), "binding.toml": b"x ="})


def test_a_loop_is_kept_while_its_picture_is_there():
    photo = node("LoadImage", "Photo @photo:image", image="a.png")
    data = graph(n1=photo, n2=node("SaveImageWebsocket", images=["1", 0]))
    before = files_of(bound(data))
    before["binding.toml"] += b'\n[feedback]\nparameter = "photo"\nedge = "clamp"\nzoom = 1.02\n'
    again = bound(data, before)
    assert b'[feedback]\nparameter = "photo"\nedge = "clamp"\nzoom = 1.02\n' in again.binding_toml
    assert again.workflow.spec.feedback.parameter == "photo"
    other = graph(
        n1=node("EmptyImage", width=64, height=64, batch_size=1, color=0),
        n2=node("SaveImageWebsocket", images=["1", 0]),
    )
    gone = bound(other, before)
    assert gone.workflow.spec.feedback is None
    assert any("[feedback]: its parameter photo is gone" in each for each in gone.proposal.gone)


def test_kind_and_bits_of_an_output_are_kept():
    graph = {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0}},
        "2": {"class_type": "SaveImageWebsocket", "inputs": {"images": ["1", 0]}},
    }
    first = bound(json.dumps(graph).encode())
    text = first.binding_toml + b'\n[outputs.height]\nnode = "2"\nkind = "data"\nbits = 16\n'
    again = bound(first.workflow_json, {**files_of(first), "binding.toml": text})
    (output,) = again.workflow.spec.outputs
    assert (output.name, output.kind.value, output.bits) == ("height", "data", 16)
