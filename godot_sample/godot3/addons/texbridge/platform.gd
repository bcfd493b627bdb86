# What is named otherwise in Godot 3 than in Godot 4: the core asks here.

const WebsocketDoor = preload("websocket_door.gd")

const TYPE_BYTES = TYPE_RAW_ARRAY


static func bytes():
	return PoolByteArray()


# Bytes from `start` up to, not including, `end`.
static func slice(data, start, end):
	if start >= end:
		return PoolByteArray()
	return data.subarray(start, end - 1)


static func utf8(text):
	return text.to_utf8()


static func make_image(width, height, has_mips, format, data):
	var image = Image.new()
	image.create_from_data(width, height, has_mips, format, data)
	return image


static func websocket_door(max_message_bytes):
	var door = WebsocketDoor.new()
	door.max_message_bytes = max_message_bytes
	return door
