"""Payloads as a real OpenGL takes them: uploaded with the calls that registry.md names, read back by the driver.

Needs `moderngl` and an EGL with a driver (Mesa's llvmpipe will do: Debian's libegl1 and libgl1-mesa-dri).
"""

import ctypes
import importlib.util

import numpy as np
import pytest
from block_decoder import decode_bc1, decode_bc3, psnr
from pictures import photo

from bridge.codec.frame import payload_bytes
from bridge.codec.mips import mip_chain
from bridge.codec.pixels import Channels, Pixels
from bridge.frames.leases import BufferPool
from bridge.frames.payloads import make_payload, payload_formats
from bridge.types import Origin, OutputKind, PayloadSpec, PixelFormat

TEXTURE_2D, MAX_LEVEL, RGBA, UNSIGNED_BYTE, FLOAT = 0x0DE1, 0x813D, 0x1908, 0x1401, 0x1406
UNPACK_ALIGNMENT = 0x0CF5
COMPRESSED = {PixelFormat.BC1: 0x83F0, PixelFormat.BC3: 0x83F3, PixelFormat.BC7: 0x8E8C}
PLAIN = {
    PixelFormat.RGBA8: (0x8058, 0x1908, UNSIGNED_BYTE),
    PixelFormat.BGRA8: (0x8058, 0x80E1, UNSIGNED_BYTE),
    PixelFormat.RGB8: (0x8051, 0x1907, UNSIGNED_BYTE),
    PixelFormat.RGBA16F: (0x881A, 0x1908, 0x140B),
    PixelFormat.RGBA32F: (0x8814, 0x1908, FLOAT),
}
LEAST_DB = {PixelFormat.BC1: 31, PixelFormat.BC3: 31, PixelFormat.BC7: 38}

pytestmark = [pytest.mark.engine]


class Gl:
    """The few calls that are needed, by their C names, on the current context."""

    def __init__(self, context) -> None:
        self.context = context
        egl = ctypes.CDLL("libEGL.so.1")
        egl.eglGetProcAddress.restype = ctypes.c_void_p
        egl.eglGetProcAddress.argtypes = [ctypes.c_char_p]
        self._address = egl.eglGetProcAddress

    def call(self, name: str, *arguments) -> None:
        kinds = [ctypes.c_int if isinstance(argument, int) else ctypes.c_void_p for argument in arguments]
        ctypes.CFUNCTYPE(None, *kinds)(self._address(name.encode()))(*arguments)
        assert self.context.error == "GL_NO_ERROR", name

    def uploaded(self, pixel_format: PixelFormat, width: int, height: int, data: bytes, mips: int) -> list[np.ndarray]:
        """Every level as the driver sees it: [height, width, 4] uint8, rows in the order of texture coordinate v."""
        name = (ctypes.c_uint * 1)()
        self.call("glGenTextures", 1, name)
        self.call("glBindTexture", TEXTURE_2D, name[0])
        self.call("glTexParameteri", TEXTURE_2D, MAX_LEVEL, mips - 1)
        self.call("glPixelStorei", UNPACK_ALIGNMENT, 1)
        self.call("glPixelStorei", 0x0D05, 1)
        at, sizes = 0, []
        for level in range(mips):
            size = payload_bytes(pixel_format, width, height)
            part = data[at : at + size]
            assert len(part) == size
            if pixel_format in COMPRESSED:
                call = ("glCompressedTexImage2D", TEXTURE_2D, level, COMPRESSED[pixel_format], width, height, 0, size)
                self.call(*call, part)
            else:
                internal, layout, kind = PLAIN[pixel_format]
                self.call("glTexImage2D", TEXTURE_2D, level, internal, width, height, 0, layout, kind, part)
            at += size
            sizes.append((width, height))
            width, height = max(1, width // 2), max(1, height // 2)
        assert at == len(data)
        shown = []
        for level, (width, height) in enumerate(sizes):
            out = (ctypes.c_ubyte * (width * height * 4))()
            self.call("glGetTexImage", TEXTURE_2D, level, RGBA, UNSIGNED_BYTE, out)
            shown.append(np.frombuffer(out, "u1").reshape(height, width, 4))
        self.call("glDeleteTextures", 1, name)
        return shown


@pytest.fixture(scope="module")
def gl():
    moderngl = pytest.importorskip("moderngl", reason="moderngl is not installed")
    try:
        context = moderngl.create_standalone_context(backend="egl")
        made = Gl(context)
    except Exception as error:  # noqa: BLE001 - moderngl says so in several ways
        pytest.skip(f"no OpenGL here: {str(error)[:60]}")
    yield made
    context.release()


def uploaded(gl: Gl, pixels: Pixels, spec: PayloadSpec) -> list[np.ndarray]:
    if spec.format not in payload_formats():
        pytest.skip("etcpak is not installed")
    payload = make_payload(pixels, spec, BufferPool(), OutputKind.COLOR)
    try:
        return gl.uploaded(payload.format, payload.width, payload.height, bytes(payload.data), payload.mips)
    finally:
        payload.release()


def picture(width: int, height: int) -> Pixels:
    array = np.full((height, width, 4), 255, "u1")
    array[..., :3] = photo(width, height)
    array[: height // 2, : width // 2, :3] //= 2  # so that no turn of it looks like another
    return Pixels(array, Channels.RGB)


@pytest.mark.parametrize("origin", Origin)
@pytest.mark.parametrize("size", [(512, 512), (318, 205)])
@pytest.mark.parametrize("format", COMPRESSED)
def test_blocks_are_what_the_driver_decodes(gl: Gl, format: PixelFormat, size: tuple[int, int], origin: Origin) -> None:
    if format is PixelFormat.BC7 and size[0] == 512:
        size = (128, 128)
    pixels = picture(*size)
    (shown,) = uploaded(gl, pixels, PayloadSpec(format, origin))
    right = pixels.array[::-1] if origin is Origin.BOTTOM_LEFT else pixels.array
    assert psnr(shown[..., :3], right[..., :3]) >= LEAST_DB[format]
    assert shown[..., 3].min() >= (254 if format is PixelFormat.BC7 else 255)
    assert psnr(shown[::-1, :, :3], right[..., :3]) < 20  # the other way round is another picture


@pytest.mark.parametrize("format", [PixelFormat.BC1, PixelFormat.BC3])
def test_the_driver_and_our_own_decoder_agree(gl: Gl, format: PixelFormat) -> None:
    if importlib.util.find_spec("etcpak") is None:
        pytest.skip("etcpak is not installed")
    pixels = picture(60, 44)
    payload = make_payload(pixels, PayloadSpec(format), BufferPool(), OutputKind.COLOR)
    (shown,) = gl.uploaded(format, 60, 44, bytes(payload.data), 1)
    ours = (decode_bc1 if format is PixelFormat.BC1 else decode_bc3)(bytes(payload.data), 60, 44)
    payload.release()
    assert np.abs(shown.astype(int) - ours).max() <= 2


@pytest.mark.parametrize("origin", Origin)
@pytest.mark.parametrize("format", [*PLAIN, PixelFormat.BC1, PixelFormat.BC3])
def test_every_mip_level_is_where_the_driver_looks(gl: Gl, format: PixelFormat, origin: Origin) -> None:
    pixels = picture(50, 27)
    shown = uploaded(gl, pixels, PayloadSpec(format, origin, mips=True))
    levels = [level.array[::-1] if origin is Origin.BOTTOM_LEFT else level.array for level in mip_chain(pixels)]
    assert [level.shape for level in shown] == [level.shape for level in levels]
    for level, right in zip(shown, levels, strict=True):
        if format in PLAIN:
            assert np.abs(level[..., :3].astype(int) - right[..., :3]).max() <= 1
        elif min(level.shape[:2]) >= 6:
            assert psnr(level[..., :3], right[..., :3]) >= 24


def test_straight_alpha_arrives(gl: Gl) -> None:
    array = np.zeros((16, 16, 4), "u1")
    array[:8] = (200, 160, 120, 255)
    array[8:] = (200, 160, 120, 64)
    (shown,) = uploaded(gl, Pixels(array, Channels.RGBA), PayloadSpec(PixelFormat.BC3))
    assert np.abs(shown.astype(int) - array).max() <= 6
    (opaque,) = uploaded(gl, Pixels(array, Channels.RGBA), PayloadSpec(PixelFormat.BC1))
    assert (opaque[..., 3] == 255).all()
