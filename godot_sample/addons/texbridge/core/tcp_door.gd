# A bridge's TCP door. Nothing here waits: poll() is called once a frame.

const LengthReader = preload("length_reader.gd")

const CHUNK_BYTES = 1048576

var trouble = ""

var _tcp = StreamPeerTCP.new()
var _reader = LengthReader.new()
var _was_open = false
var _is_over = false


func open(host, port):
	if _tcp.connect_to_host(host, port) != OK:
		_end("can't connect")


func is_open():
	return not _is_over and _was_open


func is_over():
	return _is_over


func poll():
	if _is_over:
		return
	if _tcp.has_method("poll"):
		_tcp.call("poll")  # Godot 4 wants it, Godot 3 has it not
	var status = _tcp.get_status()
	if status == StreamPeerTCP.STATUS_CONNECTED:
		if not _was_open:
			_was_open = true
			_tcp.set_no_delay(true)
		_read()
	elif status != StreamPeerTCP.STATUS_CONNECTING:
		_end("the link was closed" if _was_open else "no bridge answers")


func _read():
	var budget = 64 * CHUNK_BYTES  # of one call: a game goes on, whatever comes
	while budget > 0:
		var count = _tcp.get_available_bytes()
		if count <= 0:
			return
		if count > _reader.wants():
			count = _reader.wants()
		if count > CHUNK_BYTES:
			count = CHUNK_BYTES
		var answer = _tcp.get_partial_data(count)
		if answer[0] != OK:
			_end("the link was lost")
			return
		if answer[1].size() == 0:
			return
		budget -= answer[1].size()
		_reader.feed(answer[1])
		if _reader.code != 0:
			_end("error %d: these are no messages of a bridge" % _reader.code)
			return


# Whole messages that came, oldest first.
func take_messages():
	var messages = _reader.messages
	_reader.messages = []
	return messages


func send(message):
	var data = StreamPeerBuffer.new()
	data.put_u32(message.size())
	data.put_data(message)
	if is_open() and _tcp.put_data(data.data_array) != OK:
		_end("the link was lost")


func close():
	if not _is_over:
		_end("")


func _end(words):
	_is_over = true
	trouble = words
	_tcp.disconnect_from_host()
