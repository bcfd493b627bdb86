# A bridge's WebSocket door, for Godot 4: WebSocketPeer. In a browser it is the only door; elsewhere TCP is quicker.

# What comes between two frames of the game has to fit, or Godot drops it: one picture and its successor.
const INBOUND_BYTES = 33554432

var max_message_bytes = 0
var trouble = ""

var _peer = WebSocketPeer.new()
var _is_over = false


func open(url):
	_peer.supported_protocols = PackedStringArray(["texbridge.v1"])
	_peer.inbound_buffer_size = INBOUND_BYTES
	_peer.outbound_buffer_size = INBOUND_BYTES
	_peer.max_queued_packets = 65536
	if _peer.connect_to_url(url) != OK:
		_end("can't connect")


func is_open():
	return not _is_over and _peer.get_ready_state() == WebSocketPeer.STATE_OPEN


func is_over():
	return _is_over


func poll():
	if _is_over:
		return
	_peer.poll()
	# Closed, with messages still to be read: first those.
	if _peer.get_ready_state() == WebSocketPeer.STATE_CLOSED and _peer.get_available_packet_count() == 0:
		_end("the link was closed: %d %s" % [_peer.get_close_code(), _peer.get_close_reason()])


func take_messages():
	var messages = []
	while not _is_over and _peer.get_available_packet_count() > 0:
		messages.append(_peer.get_packet())
	return messages


func send(message):
	if is_open():
		_peer.send(message, WebSocketPeer.WRITE_MODE_BINARY)


func close():
	if not _is_over:
		_end("")


func _end(words):
	_is_over = true
	trouble = words
	_peer.close()
