# Frames and parts as they are on the wire, everything little-endian. Source: protocols/frame.md, protocols/registry.md.

const Platform = preload("../platform.gd")

const PREVIEW = 1
const LAST_SET = 2
const HELD = 4
const BOTTOM_LEFT = 8
const LINEAR = 16
const LAST_OF_SET = 64
const SHARED_MEMORY = 128

const IMAGE_FORMATS = {
	1: Image.FORMAT_RGBA8,
	3: Image.FORMAT_RGB8,
	4: Image.FORMAT_R8,
	5: Image.FORMAT_RGBAH,
	6: Image.FORMAT_RGBAF,
	8: Image.FORMAT_RH,
	9: Image.FORMAT_RF,
	16: Image.FORMAT_DXT1,
	17: Image.FORMAT_DXT5,
	18: Image.FORMAT_BPTC_RGBA,
}
const PIXEL_BYTES = {1: 4, 2: 4, 3: 3, 4: 1, 5: 8, 6: 16, 7: 2, 8: 2, 9: 4}
const BLOCK_BYTES = {16: 8, 17: 16, 18: 16}


# 1 for a frame, 2 for a part, 0 for a map.
static func kind_of(message):
	if message.size() < 4 or message[0] != 0x54 or message[1] != 0x58:
		return 0
	return 2 if message[2] == 0x42 and message[3] == 0x50 else 1


# The header's fields by name, with `payload`; or {"code": 103}.
static func read_frame(message):
	var bad = {"code": 103}
	if message.size() < 64 or message[2] != 0x42 or message[3] != 0x31 or message[0] != 0x54 or message[1] != 0x58:
		return bad
	var data = StreamPeerBuffer.new()
	data.data_array = Platform.slice(message, 0, 80 if message.size() >= 80 else 64)
	data.seek(4)
	var frame = {"code": 0}
	frame["header_bytes"] = data.get_u16()
	frame["flags"] = data.get_u16()
	frame["stream"] = data.get_u32()
	frame["number"] = data.get_u32()
	frame["request"] = data.get_u64()
	frame["index"] = data.get_u32()
	frame["output"] = data.get_u8()
	frame["mips"] = data.get_u8()
	frame["format"] = data.get_u16()
	frame["width"] = data.get_u32()
	frame["height"] = data.get_u32()
	frame["row_pitch"] = data.get_u32()
	frame["payload_bytes"] = data.get_u32()
	frame["client_time"] = data.get_u64()
	frame["comfy_us"] = data.get_u32()
	frame["bridge_us"] = data.get_u32()
	var start = frame["header_bytes"]
	var is_doorbell = (frame["flags"] & SHARED_MEMORY) != 0
	if start < (80 if is_doorbell else 64) or start % 16 != 0 or start > message.size():
		return bad
	if message.size() - start != (0 if is_doorbell else frame["payload_bytes"]):
		return bad
	if not _geometry_is_right(frame):
		return bad
	if is_doorbell:
		frame["slot"] = data.get_u32()
		data.get_u32()
		frame["seq"] = data.get_u64()
	frame["payload"] = Platform.slice(message, start, message.size())
	return frame


static func _geometry_is_right(frame):
	var width = frame["width"]
	var height = frame["height"]
	var mips = frame["mips"]
	var larger = width if width > height else height
	if width == 0 or height == 0 or mips == 0 or mips > 32 or larger >> (mips - 1) == 0:
		return false
	var format = frame["format"]
	if format == 64 or format == 65:
		var flipped = (frame["flags"] & BOTTOM_LEFT) != 0
		return frame["row_pitch"] == 0 and mips == 1 and not flipped and frame["payload_bytes"] > 0
	if not PIXEL_BYTES.has(format) and not BLOCK_BYTES.has(format):
		return true  # nothing to check it by
	var left = frame["payload_bytes"]
	for level in range(mips):
		var w = width >> level
		var h = height >> level
		w = w if w > 0 else 1
		h = h if h > 0 else 1
		var row = 0
		if BLOCK_BYTES.has(format):
			row = ((w + 3) >> 2) * BLOCK_BYTES[format]
			h = (h + 3) >> 2
		else:
			row = w * PIXEL_BYTES[format]
		if level == 0 and row != frame["row_pitch"]:
			return false
		if row > left / h:  # before it is multiplied: 2^32 rows of 2^32 bytes are more than an int holds
			return false
		left -= row * h
	return left == 0


# An Image of mip 0 and its levels, or null for a format that Godot doesn't have.
static func make_image(frame):
	if not IMAGE_FORMATS.has(frame["format"]):
		return null
	var format = IMAGE_FORMATS[frame["format"]]
	return Platform.make_image(frame["width"], frame["height"], frame["mips"] > 1, format, frame["payload"])
