# What is named otherwise in Godot 4 than in Godot 3: the core asks here. The variant for Godot 3 is in godot3/.

const WebsocketDoor = preload("websocket_door.gd")

const TYPE_BYTES = TYPE_PACKED_BYTE_ARRAY


static func bytes():
	return PackedByteArray()


# Bytes from `start` up to, not including, `end`.
static func slice(data, start, end):
	return data.slice(start, end)


static func utf8(text):
	return text.to_utf8_buffer()


static func make_image(width, height, has_mips, format, data):
	return Image.create_from_data(width, height, has_mips, format, data)


static func websocket_door(max_message_bytes):
	var door = WebsocketDoor.new()
	door.max_message_bytes = max_message_bytes
	return door
