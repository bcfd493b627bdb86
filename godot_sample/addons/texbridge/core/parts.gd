# Parts of one large message, until it is whole. Source: protocols/frame.md, Parts.

const Platform = preload("../platform.gd")

var max_total_bytes = 536870912
var code = 0  # 104 or 105: the two sides don't agree any more, end the link

var _whole = null
var _message = 0
var _parts = 0
var _total = 0
var _size = 0
var _next = 0
var _filled = 0


# The whole message with its last part; null before, and after an error.
func feed(item):
	if item.size() < 33 or item[0] != 0x54 or item[1] != 0x58 or item[2] != 0x42 or item[3] != 0x50:
		return _fail(104)
	var data = StreamPeerBuffer.new()
	data.data_array = Platform.slice(item, 0, 32)
	data.seek(4)
	var start = data.get_u16()
	data.get_u16()
	var message = data.get_u32()
	var part = data.get_u32()
	var parts = data.get_u32()
	var offset = data.get_u32()
	var total = data.get_u32()
	var count = item.size() - start
	if start < 32 or count < 1:
		return _fail(104)
	if total > max_total_bytes:
		return _fail(105)
	if part == 0 and _whole == null:
		if count > total:
			return _fail(104)
		_whole = StreamPeerBuffer.new()
		_whole.resize(total)
		_message = message
		_parts = parts
		_total = total
		_size = count
		_next = 0
		_filled = 0
	if _whole == null or message != _message or parts != _parts or total != _total or part != _next:
		return _fail(104)
	if part >= parts or offset != _filled or count > _size or count > total - offset:
		return _fail(104)
	var is_last = part == parts - 1
	if count != (total - offset if is_last else _size):
		return _fail(104)
	_whole.put_data(Platform.slice(item, start, item.size()))
	_next += 1
	_filled += count
	if not is_last:
		return null
	var whole = _whole.data_array
	_whole = null
	return whole


func _fail(number):
	if code == 0:
		code = number
	return null
