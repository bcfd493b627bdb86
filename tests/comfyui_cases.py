"""What is recorded from a real ComfyUI: each case is a small talk with it. See record_comfyui.py."""

import asyncio

from comfyui_graphs import METADATA, blur, empty, flat, long_run, node, out
from record_comfyui import INTO_NODE_S, Case, Recorder, is_event, picture

CASES: dict[str, Case] = {}
LAST = ("worker_death",)
"""Cases after which a server is of no more use; recorded only by name."""


def case(function: Case) -> Case:
    CASES[function.__name__] = function
    return function


@case
async def basics(r: Recorder) -> None:
    me = await r.connect("A")
    await r.http("GET", "/prompt")
    await r.http("GET", "/queue")
    prompt_id = await r.run(flat(1), me)
    await r.http("GET", f"/history/{prompt_id}")
    await r.http("GET", "/history/00000000-1111-4222-8333-444444444444")
    r.note("a batch of three gives three frames")
    await r.run(flat(2, batch=3), me)
    r.note("own prompt_id, number and extra_data")
    mine = "12345678-1234-4234-8234-123456789abc"
    await r.run(flat(3), me, prompt_id=mine, number=5, extra_data={"mykey": 7, "extra_pnginfo": {"workflow": {}}})
    await r.http("GET", f"/history/{mine}")
    r.note("the same prompt_id again: a second entry takes the place of the first")
    await r.run(flat(4), me, prompt_id=mine)
    await r.http("GET", f"/history/{mine}")
    r.note("under /api")
    for path in ("/api/prompt", "/api/queue", "/api/features", f"/api/history/{mine}"):
        await r.http("GET", path)
    r.note("history, some of it")
    await r.http("POST", "/history", {"clear": True})
    first = await r.run(flat(5), me)
    await r.run(flat(6), me)
    await r.run(flat(7), me)
    await r.http("GET", "/history?max_items=2")
    await r.http("GET", "/history?max_items=1&offset=0")
    await r.http("POST", "/history", {"delete": [first]})
    await r.http("GET", f"/history/{first}")
    await r.http("POST", "/history", {"delete": ["nobody"]})
    await r.http("POST", "/history", {"clear": True})
    await r.http("GET", "/history")


@case
async def facts(r: Recorder) -> None:
    for path in ("/features", "/system_stats", "/models", "/models/checkpoints", "/models/nothing", "/embeddings"):
        await r.http("GET", path)
    for path in ("/object_info/NoSuchNode", "/object_info/ImageInvert", "/nothing", "/view", "/view?filename="):
        if path != "/object_info/ImageInvert":
            await r.http("GET", path)
    r.note("Origin")
    await r.http("GET", "/prompt", headers={"Origin": "http://evil.example"})
    await r.http("GET", "/prompt", headers={"Sec-Fetch-Site": "cross-site"})
    await r.http("POST", "/prompt", {"prompt": flat(), "number": 1}, headers={"Origin": "http://evil.example"})
    r.note("wrong method")
    await r.http("PUT", "/prompt")


@case
async def cached(r: Recorder) -> None:
    me = await r.connect("A")
    await r.run(flat(11), me)
    r.note("again: only SaveImageWebsocket runs")
    await r.run(flat(11), me)
    r.note("another radius: the first node is cached")
    await r.run(flat(11) | {"2": blur("1", 3)}, me)
    r.note("other node ids: found all the same")
    await r.run({"a": empty(11), "b": blur("a", 3), "c": out("b")}, me)
    r.note("only the last prompt's results are kept")
    await r.run(flat(12), me)
    await r.run(flat(11), me)
    r.note("after /free nothing is")
    await r.http("POST", "/free", {"unload_models": True, "free_memory": True})
    await r.settle()
    await r.run(flat(11), me)
    r.note("two equal nodes in one prompt")
    twins = {"1": empty(13), "2": blur("1"), "3": blur("1"), "9": out("4")}
    twins["4"] = node("ImageBatch", image1=("2", 0), image2=("3", 0))
    await r.run(twins, me)
    r.note("a node that nothing needs, once run, is listed as cached")
    await r.run({"1": empty(13), "2": blur("1"), "9": out("1")}, me)
    r.note("PreviewImage twice")
    shown = {"1": empty(14), "2": blur("1"), "9": node("PreviewImage", images=("2", 0))}
    for _ in range(2):
        prompt_id = await r.run(shown, me)
        await r.http("GET", f"/history/{prompt_id}")
    r.note("PreviewImage and SaveImageWebsocket, the former cached")
    await r.run(shown | {"5": blur("2", 3), "8": out("5")}, me)
    r.note("SaveImage twice, then with another prefix")
    saved = {"1": empty(15), "9": node("SaveImage", images=("1", 0), filename_prefix="rec_cached")}
    await r.run(saved, me)
    await r.run(saved, me)
    await r.run({"1": empty(15), "9": node("SaveImage", images=("1", 0), filename_prefix="sub/rec_cached")}, me)
    r.note("values that convert to equal ones")
    await r.run(flat(16), me)
    await r.run({"1": empty(16), "2": blur("1", "2", 1), "9": out("2")}, me)  # type: ignore[arg-type]
    r.note("without a client")
    prompt_id = await r.prompt(shown)
    await r.settle()
    await r.http("GET", f"/history/{prompt_id}")


@case
async def order(r: Recorder) -> None:
    me = await r.connect("A")
    r.note("outputs first, then what feeds them")
    await r.run({"1": empty(21), "2": blur("1"), "3": blur("2"), "8": out("1"), "9": out("3")}, me)
    r.note("the last input first")
    graph = {"1": empty(22), "2": empty(23), "3": empty(24), "4": node("ImageBatch", image1=("1", 0), image2=("2", 0))}
    graph |= {"5": node("ImageBatch", image1=("4", 0), image2=("3", 0)), "9": out("5")}
    await r.run(graph, me)
    r.note("a diamond")
    graph = {"1": empty(25), "2": blur("1"), "3": node("ImageInvert", image=("1", 0))}
    graph["4"] = node("ImageBlend", image1=("2", 0), image2=("3", 0), blend_factor=0.25, blend_mode="screen")
    await r.run(graph | {"9": out("4")}, me)
    r.note("a wide one: a short way and a long way to one output")
    graph = {"1": empty(26), "2": blur("1"), "3": blur("2", 3), "4": blur("3", 4), "5": empty(27)}
    graph["6"] = node("ImageBlend", image1=("4", 0), image2=("5", 0), blend_factor=0.5, blend_mode="multiply")
    await r.run(graph | {"9": out("6")}, me)
    r.note("values through primitives and GetImageSize (a text message)")
    graph = {"1": empty(28, 32), "2": node("GetImageSize", image=("1", 0)), "3": node("PrimitiveInt", value=77)}
    graph["4"] = node("EmptyImage", width=("2", 0), height=("2", 1), batch_size=("2", 2), color=("3", 0))
    await r.run(graph | {"9": out("4")}, me)
    r.note("an input that the node doesn't have is ignored")
    await r.run({"1": empty(29), "2": node("ImageInvert", image=("1", 0), nonsense=5), "9": out("2")}, me)


@case
async def validation(r: Recorder) -> None:
    me = await r.connect("A")

    async def refused(text: str, graph: object, **more: object) -> None:
        r.note(text)
        await r.prompt(graph, me, **more)  # type: ignore[arg-type]

    good = flat(31)
    await refused("unknown class_type", good | {"2": node("NoSuchNode", image=("1", 0))})
    await refused("class_type missing", good | {"2": {"inputs": {}}})
    await refused("link to a missing node", good | {"9": out("77")})
    await refused("link to a missing node, further up", good | {"2": blur("77")})
    await refused("link to a missing output", good | {"9": node("SaveImageWebsocket", images=("2", 5))})
    await refused(
        "link to a missing output of an older node", good | {"9": node("SaveImageWebsocket", images=("1", 5))}
    )
    await refused("link whose index is a text", good | {"9": node("SaveImageWebsocket", images=("2", "0"))})
    await refused(
        "link with one element", good | {"9": {"class_type": "SaveImageWebsocket", "inputs": {"images": ["2"]}}}
    )
    mask = {"3": node("SolidMask", value=1.0, width=8, height=8)}
    await refused("MASK for IMAGE", good | mask | {"9": out("3")})
    await refused("MASK for IMAGE, further up", good | mask | {"2": blur("3")})
    await refused(
        "STRING for a choice",
        good
        | {
            "3": node("PrimitiveString", value="area"),
            "4": node("ImageScale", image=("1", 0), upscale_method=("3", 0), width=8, height=8, crop="disabled"),
            "9": out("4"),
        },
    )
    await refused(
        "INT for FLOAT",
        good
        | {
            "3": node("PrimitiveInt", value=1),
            "2": node("ImageBlur", image=("1", 0), blur_radius=2, sigma=("3", 0)),
        },
    )
    await refused("too big", good | {"2": blur("1", 999)})
    await refused("too small", good | {"2": blur("1", 0)})
    await refused("two faults in one node", good | {"2": blur("1", 0, 99.0)})
    await refused("a text for INT", good | {"2": blur("1", "abc")})  # type: ignore[arg-type]
    await refused("a list of three for INT", good | {"2": blur("1", [1, 2, 3])})  # type: ignore[arg-type]
    await refused("null for INT", good | {"2": blur("1", None)})  # type: ignore[arg-type]
    await refused("an object for INT", good | {"2": blur("1", {"x": 1})})  # type: ignore[arg-type]
    await refused("required input missing", good | {"2": node("ImageBlur", image=("1", 0), blur_radius=2)})
    await refused("inputs missing", good | {"2": {"class_type": "ImageBlur"}})
    await refused(
        "not in an older choice",
        good
        | {
            "4": node("ImageScale", image=("1", 0), upscale_method="nope", width=8, height=8, crop="disabled"),
            "9": out("4"),
        },
    )
    await refused(
        "not in a newer choice: taken, and fails when it runs",
        good
        | {
            "4": node("ImageBlend", image1=("1", 0), image2=("2", 0), blend_factor=0.5, blend_mode="nope"),
            "9": out("4"),
        },
    )
    await r.settle()
    await refused("no output node", {"1": empty(31), "2": blur("1")})
    await refused("LoadImage of a missing file", {"1": node("LoadImage", image="nofile.png"), "9": out("1")})
    await refused("LoadImage of nothing", {"1": node("LoadImage"), "9": out("1")})
    await refused("a cycle of one", good | {"9": out("9")})
    await refused("a cycle of one, further up", good | {"2": blur("2")})
    graph = {"1b": node("ImageInvert", image=("1c", 0)), "1c": node("ImageInvert", image=("1b", 0))}
    await refused("a cycle of two", good | graph | {"9": out("1c")})
    await refused("two bad outputs", good | {"8": out("77"), "9": node("SaveImageWebsocket")})
    await refused("two outputs, one fault above both", good | {"2": blur("1", 0), "8": out("2")})
    await refused(
        "a fault in a node that nothing needs is no fault", {"1": empty(32), "5": blur("1", 0), "9": out("1")}
    )
    await r.settle()
    await refused("one good output and one bad: 200 with node_errors", flat(33) | {"10": out("77")})
    await r.settle()
    await refused("empty prompt", {})
    await refused("prompt is a list", [1])
    await refused("prompt is a text", "x")
    await refused("a node is a text", {"1": "x"})
    await refused("a node is a number", {"1": 5})
    await refused("number is a text", good, number="x")
    r.note("bodies")
    await r.http("POST", "/prompt", {"client_id": me})
    await r.http("POST", "/prompt", b"{nope", headers={"Content-Type": "application/json"})
    await r.http("POST", "/prompt", b"")
    await r.http("POST", "/queue", b"{nope")
    await r.http("POST", "/history", b"{nope")
    r.note("values are converted, as the history shows")
    graph = {"1": node("EmptyImage", width="64", height=64.9, batch_size=True, color=0), "2": blur("1", 2, "1.5")}  # type: ignore[arg-type]
    graph |= {"3": node("PrimitiveString", value=5), "9": out("2")}
    prompt_id = await r.run(graph, me)
    await r.http("GET", f"/history/{prompt_id}")


@case
async def uploads(r: Recorder) -> None:
    me = await r.connect("A")
    name = "rec_upload_a.png"
    one, two = picture(1, 32), picture(2, 32)
    await r.upload(name, one)
    r.note("same name, same bytes")
    await r.upload(name, one)
    r.note("same name, other bytes")
    await r.upload(name, two)
    r.note("overwrite")
    await r.upload(name, two, overwrite="true")
    r.note("subfolder, temp")
    await r.upload(name, one, subfolder="recsub", overwrite="1")
    await r.upload(name, one, type="temp", overwrite="true")
    r.note("refused")
    await r.upload(name, one, subfolder="../..")
    await r.upload(name, one, type="nonsense")
    await r.http("POST", "/upload/image", form=[{"name": "foo", "value": "bar"}])
    r.note("used")
    for source in (name, f"recsub/{name}", f"{name} [temp]", f"{name} [input]"):
        graph = {"1": node("LoadImage", image=source), "2": node("ImageInvert", image=("1", 0)), "9": out("2")}
        await r.run(graph, me)
    r.note("a changed file is loaded again, an unchanged one not")
    await r.run({"1": node("LoadImage", image=name), "9": out("1")}, me)
    await r.run({"1": node("LoadImage", image=name), "9": out("1")}, me)
    await r.upload(name, one, overwrite="true")
    await r.run({"1": node("LoadImage", image=name), "9": out("1")}, me)
    r.note("view")
    for query in (
        f"filename={name}&type=input",
        f"filename={name}&type=input&subfolder=recsub",
        "filename=nope.png&type=input",
        f"filename={name}&type=nonsense",
        f"filename=../{name}&type=input",
        f"filename={name}&type=input&subfolder=../..",
    ):
        await r.http("GET", f"/view?{query}")
    r.note("SaveImage, then view it")
    await r.run({"1": empty(41), "9": node("SaveImage", images=("1", 0), filename_prefix="rec_saved")}, me)
    saved = next(line for line in reversed(r.lines) if is_event("executed")(line))
    filename = saved["json"]["data"]["output"]["images"][0]["filename"]
    await r.http("GET", f"/view?filename={filename}&type=output")
    await r.http("GET", f"/view?filename={filename}")


@case
async def errors(r: Recorder) -> None:
    me = await r.connect("A")
    await r.upload("rec_bad.png", b"this is not a png")
    graph = {"1": node("LoadImage", image="rec_bad.png"), "2": node("ImageInvert", image=("1", 0)), "9": out("2")}
    prompt_id = await r.run(graph, me)
    await r.http("GET", f"/history/{prompt_id}")
    r.note("batches of two and three don't go together")
    graph = {"1": empty(51, 16, 2), "2": empty(52, 16, 3)}
    graph["3"] = node("ImageBlend", image1=("1", 0), image2=("2", 0), blend_factor=0.5, blend_mode="normal")
    await r.run(graph | {"9": out("3")}, me)
    r.note("the same again: what ran before the fault is cached")
    await r.run(graph | {"9": out("3")}, me)
    r.note("two outputs, one fails")
    graph = flat(53) | {"11": node("LoadImage", image="rec_bad.png"), "12": out("11")}
    prompt_id = await r.run(graph, me)
    await r.http("GET", f"/history/{prompt_id}")
    r.note("without a client nobody is told")
    prompt_id = await r.prompt({"11": node("LoadImage", image="rec_bad.png"), "12": out("11")})
    await r.settle()
    await r.http("GET", f"/history/{prompt_id}")


@case
async def interrupts(r: Recorder) -> None:
    me = await r.connect("A")
    await r.connect("OTHER")
    since = len(r.lines)
    one = await r.prompt(long_run(61, 6), me)
    await r.at_node("A", one, "2")
    r.note("an id that doesn't run")
    await r.http("POST", "/interrupt", {"prompt_id": "99999999-1111-4222-8333-444444444444"})
    r.note("the one that runs: it ends at the next node")
    await r.http("POST", "/interrupt", {"prompt_id": one})
    await r.ended("A", one, since)
    await r.http("GET", f"/history/{one}")
    r.note("what ran is cached; interrupt without a body")
    two = await r.prompt(long_run(61, 6), me)
    await r.at_node("A", two, "4")
    await r.http("POST", "/interrupt")
    await r.ended("A", two)
    r.note("while nothing runs: lost")
    await r.http("POST", "/interrupt", {})
    await r.run(flat(62), me)
    r.note("a prompt without a client: told to all")
    three = await r.prompt(long_run(63))
    state = is_event("progress_state", prompt_id=three)
    await r.wait("OTHER", lambda line: state(line) and "2" in line["json"]["data"]["nodes"])
    await r.wait("A", lambda line: state(line) and "2" in line["json"]["data"]["nodes"])
    await asyncio.sleep(INTO_NODE_S)  # past the node's own look at interrupts, which nobody is told of
    await r.http("POST", "/interrupt", {"prompt_id": three})
    await r.wait("A", is_event("execution_interrupted", prompt_id=three))
    await r.wait("OTHER", is_event("execution_interrupted", prompt_id=three))
    await r.settle()


@case
async def queue(r: Recorder) -> None:
    me = await r.connect("A")
    first = await r.prompt(long_run(71), me)
    await r.at_node("A", first, "1")
    waiting = []
    for index in range(3):
        waiting.append(await r.prompt(flat(72 + index), me))
        await r.wait("A", lambda line, left=index + 2: remaining(line) == left)
    await r.http("GET", "/queue")
    r.note("delete one that waits, the one that runs, one that is unknown")
    await r.http("POST", "/queue", {"delete": [waiting[1]]})
    await r.http("GET", "/queue")
    await r.http("POST", "/queue", {"delete": [first]})
    await r.http("POST", "/queue", {"delete": ["nobody"]})
    r.note("front, and a number of its own")
    front = await r.prompt(flat(75), me, front=True)
    again = await r.prompt(flat(76), me, front=True)
    await r.prompt(flat(77), me, number=0.5)
    await r.http("GET", "/queue")
    await r.ended("A", waiting[2])
    await r.http("GET", f"/history/{waiting[1]}")
    await r.http("GET", f"/history/{front}")
    await r.http("GET", f"/history/{again}")
    r.note("clear")
    last = await r.prompt(long_run(78), me)
    await r.at_node("A", last, "1")
    await r.prompt(flat(79), me)
    await r.prompt(flat(80), me)
    await r.http("POST", "/queue", {"clear": True})
    await r.ended("A", last)
    r.note("clear when there is nothing")
    await r.http("POST", "/queue", {"clear": True})
    await r.http("GET", "/queue")
    await r.settle()
    r.note("one prompt_id twice, with different numbers: both run")
    last = await r.prompt(long_run(81), me)
    await r.at_node("A", last, "1")
    twice = "22345678-1234-4234-8234-123456789abc"
    await r.prompt(flat(82), me, prompt_id=twice)
    await r.prompt(flat(83), me, prompt_id=twice)
    await r.ended("A", last)
    ends = is_event("executing", prompt_id=twice, node=None)
    await r.wait("A", ends)
    await r.wait("A", ends, r.lines.index(next(line for line in r.lines if ends(line))) + 1)


def remaining(line: dict) -> int | None:
    """The queue_remaining of a `status` event, else None."""
    message = line.get("json", {})
    return message["data"]["status"]["exec_info"]["queue_remaining"] if message.get("type") == "status" else None


@case
async def reconnects(r: Recorder) -> None:
    me = await r.connect("A")
    prompt_id = await r.prompt(long_run(91), me)
    await r.at_node("A", prompt_id, "2")
    r.note("A closes, B comes with the same client id: told the node without the prompt, then the rest")
    await r.close("A")
    await r.connect("B", me)
    await r.ended("B", prompt_id)
    r.note("C comes with the same client id while B is open: C gets all, B nothing")
    await r.connect("C", me)
    await r.run(flat(92), me, "C")
    r.note("B closes: that takes C out, which stays open and silent")
    await r.close("B")
    await r.settle()
    prompt_id = await r.prompt(flat(93), me)
    await r.settle(1.5)
    await r.http("GET", f"/history/{prompt_id}")
    await r.close("C")
    r.note("cut, not closed, and B at once with the same client id")
    you = await r.connect("D")
    prompt_id = await r.prompt(long_run(94, 3), you)
    await r.at_node("D", prompt_id, "2")
    await r.abort("D")
    await r.settle(2)
    await r.connect("E", you)
    await r.run(flat(95), you, "E")


@case
async def broadcast(r: Recorder) -> None:
    await r.connect("PLAIN")
    await r.connect("FLAGS")
    since = len(r.lines)
    await r.say("FLAGS", METADATA)
    await r.wait("FLAGS", is_event("feature_flags"), since)
    r.note("no client_id: progress and frames (type 1) to all, no executing")
    prompt_id = await r.prompt(flat(101))
    await r.settle()
    await r.http("GET", f"/history/{prompt_id}")
    r.note("a client_id that nobody has: status alone")
    prompt_id = await r.prompt(flat(102), "ghost")
    await r.settle()
    await r.http("GET", f"/history/{prompt_id}")
    r.note("no clientId: the server makes one")
    me = await r.connect("N", anonymous=True)
    await r.run(flat(103), me, "N")
    await r.settle()


@case
async def metadata(r: Recorder) -> None:
    me = await r.connect("A")
    since = len(r.lines)
    await r.say("A", METADATA)
    await r.wait("A", is_event("feature_flags"), since)
    await r.run(flat(111, batch=2), me)
    r.note("said again, with false: too late")
    await r.say("A", {"type": "feature_flags", "data": {"supports_preview_metadata": False}})
    await r.run(flat(112), me)
    r.note("another first message: flags that follow aren't heard")
    me = await r.connect("B")
    await r.say("B", {"type": "hello"})
    await r.say("B", METADATA)
    await r.run(flat(113), me, "B")
    r.note("a first message that isn't JSON, or no object: the next may still be the first")
    me = await r.connect("C")
    await r.say("C", "this is not JSON")
    await r.say("C", "[1]")
    since = len(r.lines)
    await r.say("C", METADATA)
    await r.wait("C", is_event("feature_flags"), since)
    await r.run(flat(114), me, "C")
    r.note("flags: false")
    me = await r.connect("D")
    since = len(r.lines)
    await r.say("D", {"type": "feature_flags", "data": {"supports_preview_metadata": False}})
    await r.wait("D", is_event("feature_flags"), since)
    await r.run(flat(115), me, "D")
    await r.settle()


@case
async def worker_death(r: Recorder) -> None:
    me = await r.connect("A")
    first = await r.prompt(long_run(121), me)
    await r.at_node("A", first, "1")
    await r.prompt(flat(122), me)
    twice = "32345678-1234-4234-8234-123456789abc"
    await r.prompt(flat(123), me, prompt_id=twice, number=1e6)
    await r.prompt(flat(124), me, prompt_id=twice, number=1e6)
    await r.http("GET", "/queue")
    await r.ended("A", first)
    await r.settle()
    r.note("from here on POST /prompt says 200 and nothing runs")
    await r.prompt(flat(125), me)
    await r.settle(1.5)
    await r.http("GET", "/queue")
