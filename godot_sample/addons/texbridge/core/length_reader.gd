# A TCP stream as messages: a u32 little-endian length before each. Source: protocols/engine-link.md, Transport.

const Platform = preload("../platform.gd")

var max_message_bytes = 536870912
var code = 0  # 105 or 111: end the link
var messages = []

var _head = StreamPeerBuffer.new()
var _body = null
var _length = 0
var _filled = 0


# How many bytes the length, or the message that is coming, still wants. Feed no more, and nothing is copied twice.
func wants():
	return (4 if _body == null else _length) - _filled


# Bytes that came and are no whole message yet, the length counted.
func waiting():
	return _filled + (0 if _body == null else 4)


# Take bytes as they come; whole messages are then in `messages`.
func feed(data):
	var place = 0
	while place < data.size() and code == 0:
		var count = data.size() - place
		if count > wants():
			count = wants()
		var piece = data
		if count != data.size():
			piece = Platform.slice(data, place, place + count)
		place += count
		_filled += count
		if _body == null:
			_head.put_data(piece)
			if _filled == 4:
				_begin()
		else:
			_body.put_data(piece)
			if _filled == _length:
				messages.append(_body.data_array)
				_body = null
				_filled = 0


func _begin():
	_head.seek(0)
	_length = _head.get_u32()
	_head.seek(0)
	_filled = 0
	if _length == 0:
		code = 111
	elif _length > max_message_bytes:
		code = 105
	else:
		_body = StreamPeerBuffer.new()
		_body.resize(_length)
