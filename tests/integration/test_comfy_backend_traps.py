"""The backend against a ComfyUI that misbehaves on purpose: answers, order, dead workers, mute sockets."""

import asyncio
import json
import struct
from dataclasses import replace

import pytest
from aiohttp import web
from backend_listener import FAST, SOON_STUCK, backend_at, graph
from scripted_comfy import PNG, ScriptedComfy, picture_message, run_normally

from bridge.backends.comfy import ComfyBackend
from bridge.backends.records import BackendMute, BackendPicture, BackendWarning
from bridge.errors import BackendError, ErrorCode
from bridge.scheduler.events import (
    AttemptEnded,
    AttemptLost,
    AttemptPosted,
    AttemptRefused,
    AttemptStarted,
    AttemptWithdrawn,
    BackendDown,
    BackendUp,
)

PROMPT = graph()
OUT = {"9": 0}


def scripted(scenario, *, limits=FAST, up=True, **options):
    """Run `scenario(comfy, backend, listener)` with a backend at a scripted server."""
    server_options = {
        key: options.pop(key) for key in ("prefix", "cancel_route", "has_features", "tls") if key in options
    }

    async def run():
        async with (
            ScriptedComfy(**server_options) as comfy,
            backend_at(comfy.url, limits=limits, up=up, **options) as (backend, listener),
        ):
            await scenario(comfy, backend, listener)

    asyncio.run(run())


# --- the handshake ---------------------------------------------------------------------------------------------


def test_flags_are_the_first_message_and_neither_compression_nor_origin_is_offered():
    async def scenario(comfy, backend, listener):
        await comfy.until(lambda: comfy.first_messages)
        assert json.loads(comfy.first_messages[0]) == {
            "type": "feature_flags",
            "data": {"supports_preview_metadata": True},
        }
        headers = {name.lower(): value for name, value in comfy.handshakes[0].items()}
        assert "sec-websocket-extensions" not in headers
        assert "origin" not in headers
        assert all("Origin" not in headers for _, headers in comfy.requests)

    scripted(scenario)


def test_each_connection_has_a_client_id_of_its_own():
    async def scenario(comfy, backend, listener):
        seen = set()
        for count in range(1, 4):
            await listener.many(BackendUp, count)
            (client_id,) = comfy.sockets
            seen.add(client_id)
            backend.submit(count, PROMPT, OUT)
            assert await listener.end_of(count) == AttemptEnded(count)
            assert comfy.posts[-1]["client_id"] == client_id
            await comfy.sockets[client_id].close()
        assert len(seen) == 3

    scripted(scenario)


def test_prefix_and_headers_go_with_both_channels():
    async def scenario(comfy, backend, listener):
        backend.submit(1, PROMPT, OUT)
        assert await listener.end_of(1) == AttemptEnded(1)
        await backend.store_picture(b"x", "a", "photo", 1)
        backend.withdraw(1)
        assert {"/ws", "/prompt", "/upload/image", "/object_info"} <= {path for path, _ in comfy.requests}
        assert all(headers.get("Authorization") == "Bearer s3cret" for _, headers in comfy.requests)
        assert all(headers.get("X-Team") == "7" for _, headers in comfy.requests)
        shown = json.dumps(backend.info())
        assert "s3cret" not in shown

    scripted(scenario, prefix="/gpu/one", headers={"Authorization": "Bearer s3cret", "X-Team": "7"})


def test_an_older_comfyui_without_feature_flags_names_frames_by_progress():
    async def old(comfy, item):
        await comfy.tell(item, "execution_start")
        await comfy.tell(item, "executing", node="9")
        for step in range(2):
            await comfy.tell(item, "progress", value=step, max=2, node="9")
            await comfy.send(item.client_id, struct.pack(">II", 1, 2) + PNG)
        await comfy.tell(item, "progress", value=1, max=2, node="5")
        await comfy.send(item.client_id, struct.pack(">II", 1, 1) + b"preview")
        await comfy.tell(item, "execution_success")

    async def scenario(comfy, backend, listener):
        comfy.script = old
        backend.submit(1, PROMPT, OUT)
        assert await listener.end_of(1) == AttemptEnded(1)
        assert [(p.index, bytes(p.data)) for p in listener.pictures(1)] == [(0, PNG), (1, PNG)]
        assert backend.info()["counts"]["previews"] == 1

    scripted(scenario, has_features=False)


# --- the socket ------------------------------------------------------------------------------------------------


def test_broken_and_unknown_messages_are_counted_and_the_connection_is_kept():
    async def odd(comfy, item):
        await comfy.tell(item, "execution_start")
        whole = picture_message(item.prompt_id, "9")
        for message in (b"", b"\0\0\0\4\xff", whole[:40], b"\0\0\0\1\0\0\0\2", b"\0\0\0\1\0\0\0\5x"):
            await comfy.send(item.client_id, message)
        await comfy.send(item.client_id, struct.pack(">I", 77) + b"a custom node's")
        await comfy.send(item.client_id, {"type": "custom.thing", "data": {}})
        await comfy.send(item.client_id, {"type": "executing", "data": []})
        await comfy.send(item.client_id, [])
        await comfy.send(item.client_id, {"type": "executing", "data": {"node": "2"}})  # trap 2: names no prompt
        await comfy.picture(item)

    async def scenario(comfy, backend, listener):
        comfy.script = odd
        backend.submit(1, PROMPT, OUT)
        assert await listener.end_of(1) == AttemptEnded(1)
        assert len(listener.pictures(1)) == 1
        counts = backend.info()["counts"]
        assert (counts["undecodable"], counts["unknown"], counts["connects"]) == (7, 2, 1)

    scripted(scenario)


def test_a_listener_that_fails_does_not_stop_the_socket(caplog):
    async def scenario(comfy, backend, listener):
        def failing(record):
            listener(record)
            if isinstance(record, BackendPicture):
                raise RuntimeError("listener broke")

        backend._on_event = failing
        for number in (1, 2):
            backend.submit(number, PROMPT, OUT)
            assert await listener.end_of(number) == AttemptEnded(number)

    scripted(scenario)
    assert "on_event failed for BackendPicture" in caplog.text


def test_the_socket_is_read_while_http_hangs():
    async def scenario(comfy, backend, listener):
        release = asyncio.Event()

        async def hang(request):
            await release.wait()
            return web.json_response({})

        comfy.answers[("POST", "/upload/image")] = hang
        upload = asyncio.ensure_future(backend.store_picture(b"x", "a", "photo", 1))
        await comfy.until(lambda: "POST /upload/image" in comfy.paths())
        for number in range(30):
            backend.submit(number, PROMPT, OUT)
        for number in range(30):
            assert await listener.end_of(number) == AttemptEnded(number)
        assert not upload.done()
        release.set()
        with pytest.raises(BackendError):
            await upload

    scripted(scenario)


def test_a_message_over_the_limit_ends_the_socket_and_nothing_else():
    async def scenario(comfy, backend, listener):
        async def huge(comfy, item):
            await comfy.tell(item, "execution_start")
            await comfy.picture(item, data=b"x" * 5000)

        comfy.script = huge
        backend.submit(1, PROMPT, OUT)
        assert await listener.end_of(1) == AttemptLost(1)
        await listener.many(BackendUp, 2)
        comfy.script = run_normally
        backend.submit(2, PROMPT, OUT)
        assert await listener.end_of(2) == AttemptEnded(2)

    scripted(scenario, limits=replace(FAST, max_message_bytes=4000))


# --- POST /prompt ----------------------------------------------------------------------------------------------


def test_the_prompt_id_is_ours_and_fresh_and_the_client_id_is_the_sockets():
    async def scenario(comfy, backend, listener):
        for number in (1, 2):
            backend.submit(number, PROMPT, OUT)
            await listener.end_of(number)
        first, second = comfy.posts
        assert first["prompt_id"] != second["prompt_id"]
        assert len(first["prompt_id"]) == 36
        assert first["client_id"] == second["client_id"] == next(iter(comfy.sockets))
        assert first["prompt"] == PROMPT
        assert set(first) == {"prompt", "client_id", "prompt_id"}  # no number: trap 4

    scripted(scenario)


def holding(event):
    """A handler that lets the answer wait for `event`."""

    async def hold(body):
        await event.wait()

    return hold


def test_events_may_come_before_the_answer_to_the_post():
    async def scenario(comfy, backend, listener):
        release = asyncio.Event()
        comfy.after_post = holding(release)
        backend.submit(1, PROMPT, OUT)
        await listener.one(BackendPicture, 1)
        assert listener.of((AttemptPosted, AttemptEnded)) == []
        release.set()
        assert await listener.end_of(1) == AttemptEnded(1)
        kinds = [type(r).__name__ for r in listener.of((AttemptStarted, BackendPicture, AttemptPosted, AttemptEnded))]
        assert kinds == ["AttemptStarted", "BackendPicture", "AttemptPosted", "AttemptEnded"]

    scripted(scenario)


def text(status, body, content_type="text/plain", **headers):
    return lambda _: web.Response(status=status, text=body, content_type=content_type, headers=headers)


REFUSALS = [
    (text(500, "500 Internal Server Error"), ErrorCode.BAD_ANSWER, True, "status 500"),
    (text(200, "<html>login</html>", "text/html"), ErrorCode.BAD_ANSWER, True, "is this ComfyUI?"),
    (text(200, ""), ErrorCode.BAD_ANSWER, True, "empty"),
    (text(200, "[]", "application/json"), ErrorCode.BAD_ANSWER, True, "is this ComfyUI?"),
    (text(502, "<html>bad gateway</html>", "text/html"), ErrorCode.BAD_ANSWER, True, "502"),
    (text(307, "", Location="https://user:pw@other.example/prompt?t=1"), ErrorCode.BAD_ANSWER, True, "other.example"),
    (text(401, "who are you"), ErrorCode.BACKEND_UNAVAILABLE, False, "refuses access (401)"),
    (text(403, ""), ErrorCode.BACKEND_UNAVAILABLE, False, "refuses access (403)"),
    (text(400, '{"error": "prompt_id must be a UUID"}', "application/json"), ErrorCode.PROMPT_REJECTED, False, "UUID"),
    (text(409, '{"error": "duplicate"}', "application/json"), ErrorCode.PROMPT_REJECTED, True, "duplicate"),
    (text(400, '{"error": {"type": "x", "v": NaN}}', "application/json"), ErrorCode.PROMPT_REJECTED, False, "x"),
]


@pytest.mark.parametrize(("answer", "code", "retry", "words"), REFUSALS)
def test_wrong_answers_to_a_post_are_typed(answer, code, retry, words):
    async def scenario(comfy, backend, listener):
        comfy.on_post = answer
        backend.submit(1, PROMPT, OUT)
        refused = await listener.end_of(1)
        assert isinstance(refused, AttemptRefused)
        assert (refused.error.code, refused.retry) == (code, retry)
        assert words in refused.error.message
        assert "pw" not in refused.error.message
        assert len(refused.error.message) < 500

    scripted(scenario)


def test_wrong_answers_in_a_row_open_the_breaker():
    async def scenario(comfy, backend, listener):
        comfy.on_post = text(500, "oops")
        for number, retry in ((1, True), (2, True), (3, False)):
            backend.submit(number, PROMPT, OUT)
            assert (await listener.end_of(number)).retry is retry
        await listener.one(BackendDown)
        assert listener.of(BackendWarning)[-1].code is ErrorCode.BAD_ANSWER
        comfy.on_post = None
        await listener.many(BackendUp, 2)
        backend.submit(4, PROMPT, OUT)
        assert await listener.end_of(4) == AttemptEnded(4)

    scripted(scenario)


def test_a_gateway_error_for_a_prompt_that_was_taken_is_no_refusal():
    async def scenario(comfy, backend, listener):
        comfy.after_post = text(504, "gateway timeout")
        comfy.finish_gate.clear()
        backend.submit(1, PROMPT, OUT)
        await listener.one(AttemptPosted, 1)
        comfy.open_gates()
        assert await listener.end_of(1) == AttemptEnded(1)
        assert len(comfy.posts) == 1

    scripted(scenario)


def test_a_connection_that_breaks_before_the_answer_is_looked_up():
    async def scenario(comfy, backend, listener):
        def cut(request):
            request.transport.abort()
            return web.Response()

        # Not taken: lost. Taken: goes on.
        comfy.answers[("POST", "/prompt")] = cut
        backend.submit(1, PROMPT, OUT)
        assert await listener.end_of(1) == AttemptLost(1)
        del comfy.answers[("POST", "/prompt")]

        comfy.finish_gate.clear()

        async def cut_after(request):
            content = await request.json()
            await comfy._post_prompt(request, content)
            request.transport.abort()
            return web.Response()

        comfy.answers[("POST", "/prompt")] = cut_after
        backend.submit(2, PROMPT, OUT)
        await listener.one(AttemptPosted, 2)
        comfy.open_gates()
        assert await listener.end_of(2) == AttemptEnded(2)

    scripted(scenario)


def test_a_prompt_that_is_no_json_is_refused():
    async def scenario(comfy, backend, listener):
        backend.submit(1, {"1": object()}, OUT)
        assert listener.of(AttemptRefused) == []  # nothing from within submit
        refused = await listener.end_of(1)
        assert (refused.error.code, refused.retry) == (ErrorCode.PROMPT_REJECTED, False)
        assert comfy.posts == []
        backend.submit(2, PROMPT, OUT)
        with pytest.raises(ValueError, match="attempt 2"):
            backend.submit(2, PROMPT, OUT)
        assert await listener.end_of(2) == AttemptEnded(2)

    scripted(scenario)


def test_an_old_comfyui_that_chooses_its_own_prompt_id():
    async def scenario(comfy, backend, listener):
        comfy.start_gate.clear()

        def rename(body):
            comfy.pending[-1].prompt_id = "their-own-id"
            return web.json_response({"prompt_id": "their-own-id", "number": 1, "node_errors": {}})

        comfy.after_post = rename
        backend.submit(1, PROMPT, OUT)
        await listener.one(AttemptPosted, 1)
        comfy.open_gates()
        assert await listener.end_of(1) == AttemptEnded(1)
        assert len(listener.pictures(1)) == 1

    scripted(scenario)


# --- withdraw --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cancel_route", [False, True])
def test_withdraw_waiting_and_running(cancel_route):
    async def scenario(comfy, backend, listener):
        comfy.finish_gate.clear()
        backend.submit(1, PROMPT, OUT)
        await listener.one(AttemptStarted, 1)
        backend.submit(2, PROMPT, OUT)
        await listener.one(AttemptPosted, 2)
        backend.withdraw(2)
        assert await listener.end_of(2) == AttemptWithdrawn(2)
        backend.withdraw(1)
        assert await listener.end_of(1) == AttemptEnded(1)
        used = [path for path in comfy.paths() if "jobs" in path]
        others = [path for path in comfy.paths() if path in ("POST /queue", "POST /interrupt")]
        if cancel_route:
            assert len(used) >= 2
            assert others == []
        else:
            assert len(used) == 1  # asked once
            assert {"POST /queue", "POST /interrupt"} <= set(others)
        comfy.open_gates()
        backend.submit(3, PROMPT, OUT)
        assert await listener.end_of(3) == AttemptEnded(3)
        backend.withdraw(3)

    scripted(scenario, cancel_route=cancel_route)


def test_withdraw_before_the_answer_to_the_post():
    async def scenario(comfy, backend, listener):
        release = asyncio.Event()
        comfy.start_gate.clear()
        comfy.after_post = holding(release)
        backend.submit(1, PROMPT, OUT)
        await comfy.until(lambda: comfy.posts)
        backend.withdraw(1)
        release.set()
        assert await listener.end_of(1) == AttemptWithdrawn(1)
        assert comfy.pending == []

    scripted(scenario)


def test_an_interrupt_that_gets_lost_is_sent_again():
    async def scenario(comfy, backend, listener):
        comfy.finish_gate.clear()
        lost = []

        def lose_two(request):
            lost.append(1)
            if len(lost) > 2:
                comfy.running.interrupted.set()
            return web.Response()

        comfy.answers[("POST", "/interrupt")] = lose_two
        backend.submit(1, PROMPT, OUT)
        await listener.one(AttemptStarted, 1)
        backend.withdraw(1)
        assert await listener.end_of(1) == AttemptEnded(1)
        assert len(lost) >= 3

    scripted(scenario)


def test_withdraw_of_one_that_ends_in_the_same_moment():
    async def scenario(comfy, backend, listener):
        for number in range(30):
            backend.submit(number, PROMPT, OUT)
            if number % 3 == 0:
                await listener.one(AttemptPosted, number)
            elif number % 3 == 1:
                await listener.one(AttemptStarted, number)
            backend.withdraw(number)
            assert isinstance(await listener.end_of(number), AttemptEnded | AttemptWithdrawn)
            if isinstance(listener.of((AttemptEnded, AttemptWithdrawn), number)[0], AttemptWithdrawn):
                assert listener.pictures(number) == []
        listener.assert_one_end_each(*range(30))

    scripted(scenario)


# --- silence ---------------------------------------------------------------------------------------------------


def test_a_dead_worker_is_noticed_and_a_restart_helps():
    """Trap 4: 200 for every prompt, and nothing runs."""

    async def scenario(comfy, backend, listener):
        comfy.dead = True
        for number in (1, 2):
            backend.submit(number, PROMPT, OUT)
        for number in (1, 2):
            assert await listener.end_of(number) == AttemptLost(number)
        await listener.one(BackendDown)
        warning = listener.of(BackendWarning)[-1]
        assert warning.code is ErrorCode.BACKEND_STUCK
        assert "Restart" in warning.message
        assert listener.lives() == ["BackendUp", "BackendDoubted", "BackendDown"]
        assert comfy.pending == []  # ours are taken back
        await comfy.close()
        comfy.dead = False
        await comfy.start()
        await listener.many(BackendUp, 2)
        backend.submit(3, PROMPT, OUT)
        assert await listener.end_of(3) == AttemptEnded(3)

    scripted(scenario, limits=SOON_STUCK)


def test_waiting_behind_another_clients_long_run_is_not_stuck():
    async def scenario(comfy, backend, listener):
        comfy.finish_gate.clear()
        async with asyncio.timeout(20):
            backend.submit(1, PROMPT, OUT)
            await listener.one(AttemptStarted, 1)
            backend.submit(2, PROMPT, OUT)
            # Several looks at the queue, each later than the limit for a dead worker.
            await comfy.until(lambda: comfy.paths().count("GET /queue") >= 12)
        comfy.open_gates()
        for number in (1, 2):
            assert await listener.end_of(number) == AttemptEnded(number)
        assert listener.of(BackendWarning) == []

    scripted(scenario, limits=SOON_STUCK)


def test_a_mute_socket_is_replaced_and_the_second_makes_the_backend_mute():
    async def scenario(comfy, backend, listener):
        comfy.mute = True
        backend.submit(1, PROMPT, OUT)
        assert await listener.end_of(1) == AttemptLost(1)
        await listener.many(BackendUp, 2)
        assert listener.of((BackendWarning, BackendMute)) == []
        assert not backend.mute
        backend.submit(2, PROMPT, OUT)
        assert await listener.end_of(2) == AttemptLost(2)
        assert await listener.one(BackendMute) == BackendMute("one", True)
        warning = await listener.one(BackendWarning)
        assert warning.code is ErrorCode.BACKEND_MUTE
        assert "restart ComfyUI" in warning.message
        await listener.many(BackendUp, 3)
        assert (backend.mute, backend.info()["state"], backend.info()["warning"]) == (True, "mute", warning.message)
        clients = {body["client_id"] for body in comfy.posts}
        assert len(clients) == 2  # a new socket was tried after the first

    scripted(scenario)


def test_two_prompts_that_one_mute_socket_hides_are_no_second_time():
    """The socket may be the one at fault: only a second one proves that it is ComfyUI."""

    async def scenario(comfy, backend, listener):
        comfy.mute = True
        for number in (1, 2):
            backend.submit(number, PROMPT, OUT)
        for number in (1, 2):
            assert await listener.end_of(number) == AttemptLost(number)
        await listener.many(BackendUp, 2)
        comfy.mute = False
        backend.submit(3, PROMPT, OUT)
        assert await listener.end_of(3) == AttemptEnded(3)
        assert listener.of((BackendWarning, BackendMute)) == []

    scripted(scenario)


def test_an_end_that_never_comes_is_read_from_the_history():
    async def scenario(comfy, backend, listener):
        original = comfy.tell

        async def without_ends(item, kind, **data):
            if not (kind == "executing" and data["node"] is None):
                await original(item, kind, **data)

        comfy.tell = without_ends
        backend.submit(1, PROMPT, OUT)
        assert await listener.end_of(1) == AttemptEnded(1)
        assert len(listener.pictures(1)) == 1

        async def only_the_start(comfy, item):
            await original(item, "execution_start")
            return "execution_error", {
                "node_id": "9",
                "node_type": "X",
                "exception_type": "E",
                "exception_message": "m",
            }

        comfy.script = only_the_start
        backend.submit(2, PROMPT, OUT)
        ended = await listener.end_of(2)
        assert ended.error.message == "node 9 (X) failed: E: m"

    scripted(scenario)


def test_out_of_memory_frees_and_may_be_retried_once():
    async def fail(comfy, item):
        await comfy.tell(item, "execution_start")
        data = {"node_id": "3", "node_type": "KSampler", "exception_type": "torch.OutOfMemoryError"}
        await comfy.tell(item, "execution_error", **data, exception_message="Allocation on device")
        return "execution_error", data

    async def scenario(comfy, backend, listener):
        comfy.script = fail
        for number, retry in ((1, True), (2, False)):
            backend.submit(number, PROMPT, OUT)
            ended = await listener.end_of(number)
            assert (ended.error.code, ended.error.retry) == (ErrorCode.OUT_OF_MEMORY, retry)
            assert comfy.paths().count("POST /free") == number
        free = next(content for method, path, content in comfy.calls if path == "/free")
        assert free == {"unload_models": True, "free_memory": True}

    scripted(scenario)


# --- upload ----------------------------------------------------------------------------------------------------


def test_upload_goes_to_our_folder_under_our_names_and_overwrites():
    async def scenario(comfy, backend, listener):
        assert await backend.store_picture(b"bytes", "aa11", "photo", 1) == "texbridge/mine_0"
        assert comfy.uploads == [("mine_0", "texbridge", "true", "input", b"bytes")]
        for status in (400, 413):
            comfy.answers[("POST", "/upload/image")] = text(status, "")
            with pytest.raises(BackendError, match=str(status)) as caught:
                await backend.store_picture(b"bytes", "bb22", "photo", 2)
            assert caught.value.code is ErrorCode.PROMPT_REJECTED
        comfy.answers[("POST", "/upload/image")] = text(500, "500")
        with pytest.raises(BackendError) as caught:
            await backend.store_picture(b"bytes", "bb22", "photo", 2)
        assert caught.value.code is ErrorCode.BAD_ANSWER

    scripted(scenario, upload_tag="mine")


def test_a_large_upload_is_whole():
    """It goes in pieces."""

    async def scenario(comfy, backend, listener):
        data = bytearray(range(256)) * 8192 + b"end"
        await backend.store_picture(data, "large", "photo", 1)
        assert comfy.uploads[0][4] == data

    scripted(scenario)


def test_names_go_round_and_none_is_written_over_that_a_prompt_may_read():
    async def scenario(comfy, backend, listener):
        def stored():
            return [name for name, *_ in comfy.uploads]

        for attempt in range(1, 6):  # all unfinished
            await backend.store_picture(b"%d" % attempt, f"hash {attempt}", "photo", attempt)
        assert stored() == [f"mine_{number}" for number in range(5)]
        backend.release_pictures(2)
        backend.release_pictures(4)
        for attempt in (6, 7, 8):
            await backend.store_picture(b"%d" % attempt, f"hash {attempt}", "photo", attempt)
        assert stored()[5:] == ["mine_1", "mine_3", "mine_5"]
        # A picture that is there is used where it is, also by another owner.
        assert await backend.store_picture(b"-", "hash 3", "other", 9) == "texbridge/mine_2"
        assert len(comfy.uploads) == 8
        backend.release_pictures(3)
        assert await backend.store_picture(b"9", "hash 9", "photo", 10) == "texbridge/mine_6", "9 still reads mine_2"
        # A prompt that failed may have failed for a file that is gone.
        backend.release_pictures(9, trusted=False)
        assert backend.find_picture("hash 3", 11) is None

    scripted(scenario, upload_tag="mine")


def test_calls_on_a_closed_backend_fail_with_words():
    async def run():
        async with ScriptedComfy() as comfy:
            async with backend_at(comfy.url) as (backend, listener):
                pass
            with pytest.raises(BackendError, match="closed"):
                await backend.store_picture(b"x", "a", "photo", 1)
            backend.submit(1, PROMPT, OUT)
            assert await listener.end_of(1) == AttemptLost(1)
            await backend.close()
            backend.start()
            never = ComfyBackend("two", comfy.url, on_event=listener)
            await never.close()

    asyncio.run(run())
