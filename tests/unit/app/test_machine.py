"""What doctor finds: who listens at a port, and what Windows keeps for itself, by a fake netsh."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys

import msgspec
import pytest

from bridge.app.config.config import load_config
from bridge.app.doctor import machine
from bridge.app.doctor.verdicts import Port, port_checks
from bridge.app.serve import Server

FREE = {"listen": "127.0.0.1:0"}
NETSH = b"\r\nStart Port    End Port\r\n----------    --------\r\n      9395        9494\r\n"


def test_this_machine() -> None:
    assert machine.word_bits() in (32, 64)
    assert machine.system_name()
    required, installed = machine.packages()
    assert set(required) == set(installed)
    assert all(installed.values())
    granted, wanted = machine.receive_buffer()
    assert granted > 0
    assert wanted == 4 << 20
    addresses, bindable = machine.loopbacks()
    assert bindable["127.0.0.1"]
    assert isinstance(addresses, list)
    assert set(machine.decoders_in_use()) == {"jpeg", "png", "webp"}
    words, simd, _ = machine.block_compressor()
    assert bool(words) or not simd
    assert isinstance(machine.pillow_features(), list)


def test_netsh_is_asked_on_windows_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []

    def run(command: tuple[str, ...], **_: object) -> subprocess.CompletedProcess[bytes]:
        asked.append(command)
        return subprocess.CompletedProcess(command, 0, NETSH, b"")

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(sys, "platform", "linux")
    assert machine.excluded_ranges("tcp") == ()
    assert asked == []
    monkeypatch.setattr(sys, "platform", "win32")
    assert machine.excluded_ranges("udp") == (range(9395, 9495),)
    assert asked[0][-1] == "protocol=udp"


@pytest.mark.parametrize("error", [FileNotFoundError("netsh"), subprocess.TimeoutExpired("netsh", 10)])
def test_no_netsh_is_no_fault(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def run(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(sys, "platform", "win32")
    assert machine.excluded_ranges("tcp") == ()


def test_a_reserved_port_is_told_with_its_range(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "excluded_ranges", lambda kind: (range(9395, 9495),) if kind == "tcp" else ())
    monkeypatch.setattr(machine, "why_not", lambda door, *_: "" if door == "osc" else f"{door}: Windows says no")
    ports = asyncio.run(machine.look_at_ports(load_config(None, {})))
    assert [port.reserved for port in ports] == [None, range(9395, 9495), range(9395, 9495), range(9395, 9495)]
    assert "9395 to 9494" in port_checks(ports)[2].found


async def ports_of(server: Server) -> list[Port]:
    at = server.addresses
    doors = {door: {"listen": getattr(at, door)} for door in ("osc", "link", "tcp", "http")}
    return await machine.look_at_ports(load_config(None, {}, doors))


@pytest.mark.parametrize("token", ["", "0123456789abcdef"])
def test_a_running_texbridge_is_recognised_at_its_doors(token: str) -> None:
    async def main() -> list[Port]:
        overrides = {"osc": FREE, "link": {**FREE, "token": token}, "tcp": FREE, "http": FREE, "streams": {}}
        config = load_config(None, {}, {**overrides, "search": {"places": []}})
        server = Server(msgspec.structs.replace(config, streams={}))
        await server.start()
        try:
            return await ports_of(server)
        finally:
            await server.close()

    ports = asyncio.run(main())
    assert ["texbridge" in port.bridge for port in ports] == [False, True, True, True]
    assert all(check.verdict == "ok" for check in port_checks(ports))


def test_another_program_is_not_taken_for_one() -> None:
    async def main() -> list[Port]:
        async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 mail.example ESMTP\r\n" * 20)
            writer.close()

        other = await asyncio.start_server(shout, "127.0.0.1", 0)
        address = f"127.0.0.1:{other.sockets[0].getsockname()[1]}"
        doors = {"osc": FREE, "link": {"listen": address}, "tcp": {"listen": address}, "http": {"listen": address}}
        try:
            return await machine.look_at_ports(load_config(None, {}, doors))
        finally:
            other.close()

    ports = asyncio.run(main())
    assert [port.bridge for port in ports] == ["", "", "", ""]
    assert [bool(port.problem) for port in ports] == [False, True, True, True]
    assert [check.verdict for check in port_checks(ports)] == ["ok", "bad", "bad", "bad"]


def test_one_that_is_silent_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "ASK_WITHIN_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert asyncio.run(machine.who_is_there("tcp", "127.0.0.1", port)) == ""
        assert asyncio.run(machine.who_is_there("http", "127.0.0.1", port)) == ""
        assert asyncio.run(machine.who_is_there("osc", "127.0.0.1", port)) == ""


def test_looking_leaves_ports_free() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        assert machine.why_not("osc", "127.0.0.1", port, socket.SOCK_DGRAM)
    assert machine.why_not("osc", "127.0.0.1", port, socket.SOCK_DGRAM) == ""
    assert machine.why_not("osc", "127.0.0.1", port, socket.SOCK_DGRAM) == ""
