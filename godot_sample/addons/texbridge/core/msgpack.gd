# The part of msgpack that the engine link uses. Source: protocols/engine-link.md, "What counts as msgpack".
#
# GDScript without exceptions: unpack_map gives null for bad bytes, and `code` is then a number of protocols/errors.md.
# The files of this folder are read by Godot 3.2 and by Godot 4 alike: see "One core for two languages" in README.md.

const Platform = preload("../platform.gd")

const MAX_DEPTH = 16
const MAX_NODES = 65536

var code = 0

var _data = null
var _size = 0
var _nodes = 0


# A value as bytes, numbers in their shortest form, floats as float64. Null, bool, int, float, String, byte arrays,
# Array, Dictionary; a Color is four floats, vectors are two or three.
static func pack(value):
	var out = StreamPeerBuffer.new()
	out.big_endian = true
	_pack(value, out)
	return out.data_array


static func _pack(value, out):
	var type = typeof(value)
	if type == TYPE_NIL:
		out.put_u8(0xc0)
	elif type == TYPE_BOOL:
		out.put_u8(0xc3 if value else 0xc2)
	elif type == TYPE_INT:
		_pack_int(value, out)
	elif type == typeof(0.5):
		out.put_u8(0xcb)
		out.put_double(value)
	elif type == TYPE_STRING:
		var text = Platform.utf8(value)
		if text.size() < 32:
			out.put_u8(0xa0 | text.size())
		else:
			_pack_length(text.size(), out, 0xd9)
		out.put_data(text)
	elif type == Platform.TYPE_BYTES:
		_pack_length(value.size(), out, 0xc4)
		out.put_data(value)
	elif type == TYPE_ARRAY:
		if value.size() < 16:
			out.put_u8(0x90 | value.size())
		else:
			_pack_length(value.size(), out, 0xdb)
		for item in value:
			_pack(item, out)
	elif type == TYPE_DICTIONARY:
		if value.size() < 16:
			out.put_u8(0x80 | value.size())
		else:
			_pack_length(value.size(), out, 0xdd)
		for key in value:
			_pack(key, out)
			_pack(value[key], out)
	elif type == TYPE_COLOR:
		_pack([value.r, value.g, value.b, value.a], out)
	elif type == TYPE_VECTOR2:
		_pack([value.x, value.y], out)
	elif type == TYPE_VECTOR3:
		_pack([value.x, value.y, value.z], out)
	else:
		_pack(str(value), out)


static func _pack_int(value, out):
	if value >= 0:
		if value < 128:
			out.put_u8(value)
		elif value < 256:
			out.put_u8(0xcc)
			out.put_u8(value)
		elif value < 65536:
			out.put_u8(0xcd)
			out.put_u16(value)
		elif value < 4294967296:
			out.put_u8(0xce)
			out.put_u32(value)
		else:
			out.put_u8(0xcf)
			out.put_u64(value)
	elif value >= -32:
		out.put_u8(value & 0xff)
	elif value >= -128:
		out.put_u8(0xd0)
		out.put_8(value)
	elif value >= -32768:
		out.put_u8(0xd1)
		out.put_16(value)
	elif value >= -2147483648:
		out.put_u8(0xd2)
		out.put_32(value)
	else:
		out.put_u8(0xd3)
		out.put_64(value)


# `first` is the form with a length of 8 bits; lists and maps, which have none, give the one before their 16 bits.
static func _pack_length(length, out, first):
	if length < 256 and first != 0xdb and first != 0xdd:
		out.put_u8(first)
		out.put_u8(length)
	elif length < 65536:
		out.put_u8(first + 1)
		out.put_u16(length)
	else:
		out.put_u8(first + 2)
		out.put_u32(length)


# The one map that a message is, or null.
func unpack_map(data):
	code = 0
	_nodes = 0
	_size = data.size()
	if _size == 0 or not _begins_map(data[0]):
		return _fail(102)
	_data = StreamPeerBuffer.new()
	_data.big_endian = true
	_data.data_array = data
	var value = _value(1)
	if code == 0 and _data.get_position() != _size:
		_fail(107)
	_data = null
	return value if code == 0 else null


static func _begins_map(first):
	return (first >= 0x80 and first <= 0x8f) or first == 0xde or first == 0xdf


func _fail(number):
	if code == 0:
		code = number
	return null


func _has(count):
	if count > _size - _data.get_position():
		_fail(102)
	return code == 0


func _length(bits):
	if not _has(bits / 8):
		return 0
	if bits == 8:
		return _data.get_u8()
	if bits == 16:
		return _data.get_u16()
	return _data.get_u32()


func _value(depth):
	_nodes += 1
	if _nodes > MAX_NODES:
		return _fail(106)
	if not _has(1):
		return null
	var first = _data.get_u8()
	if first < 0x80:
		return first
	if first >= 0xe0:
		return first - 256
	if first <= 0x8f:
		return _map(first & 15, depth)
	if first <= 0x9f:
		return _list(first & 15, depth)
	if first <= 0xbf:
		return _text(first & 31)
	if first == 0xc0:
		return null
	if first == 0xc2 or first == 0xc3:
		return first == 0xc3
	if first >= 0xc4 and first <= 0xc6:
		return _bytes(_length(8 << (first - 0xc4)))
	if first >= 0xca and first <= 0xd3:
		return _number(first)
	if first >= 0xd9 and first <= 0xdb:
		return _text(_length(8 << (first - 0xd9)))
	if first == 0xdc or first == 0xdd:
		return _list(_length(16 << (first - 0xdc)), depth)
	if first == 0xde or first == 0xdf:
		return _map(_length(16 << (first - 0xde)), depth)
	# c1 is nothing at all; the others are extension types, which this link doesn't use.
	return _fail(102 if first == 0xc1 else 107)


func _number(first):
	var sizes = [4, 8, 1, 2, 4, 8, 1, 2, 4, 8]
	if not _has(sizes[first - 0xca]):
		return null
	if first == 0xca:
		return _data.get_float()
	if first == 0xcb:
		return _data.get_double()
	if first == 0xcc:
		return _data.get_u8()
	if first == 0xcd:
		return _data.get_u16()
	if first == 0xce:
		return _data.get_u32()
	if first == 0xcf:
		return _data.get_u64()  # 2^63 and more comes out negative: GDScript's int is signed
	if first == 0xd0:
		return _data.get_8()
	if first == 0xd1:
		return _data.get_16()
	if first == 0xd2:
		return _data.get_32()
	return _data.get_64()


func _bytes(count):
	if not _has(count):
		return null
	if count == 0:
		return Platform.bytes()
	return _data.get_data(count)[1]


func _text(count):
	if count == 0:
		return ""
	return _as_text(_bytes(count))


func _as_text(data):
	if code != 0:
		return null
	if not is_utf8(data):
		return _fail(107)
	return data.get_string_from_utf8()


func _list(count, depth):
	var found = []
	if depth > MAX_DEPTH or count > MAX_NODES:
		return _fail(106)
	for _place in range(count):
		found.append(_value(depth + 1))
		if code != 0:
			return null
	return found


func _map(count, depth):
	var found = {}
	if depth > MAX_DEPTH or count > MAX_NODES:
		return _fail(106)
	for _place in range(count):
		var key = _value(depth + 1)
		if code == 0 and typeof(key) == Platform.TYPE_BYTES:
			key = _as_text(key)
		if code == 0 and typeof(key) != TYPE_STRING:
			_fail(107)
		if code == 0 and found.has(key):
			_fail(106)
		if code != 0:
			return null
		found[key] = _value(depth + 1)
		if code != 0:
			return null
	return found


# Whether bytes are UTF-8: no overlong forms, no surrogates, nothing over 10FFFF.
static func is_utf8(data):
	var place = 0
	var size = data.size()
	while place < size:
		var first = data[place]
		place += 1
		if first < 0x80:
			continue
		var more = 1
		var low = 0x80
		var high = 0xbf
		if first >= 0xc2 and first <= 0xdf:
			more = 1
		elif first >= 0xe0 and first <= 0xef:
			more = 2
			if first == 0xe0:
				low = 0xa0
			elif first == 0xed:
				high = 0x9f
		elif first >= 0xf0 and first <= 0xf4:
			more = 3
			if first == 0xf0:
				low = 0x90
			elif first == 0xf4:
				high = 0x8f
		else:
			return false
		for _step in range(more):
			if place >= size or data[place] < low or data[place] > high:
				return false
			low = 0x80
			high = 0xbf
			place += 1
	return true
