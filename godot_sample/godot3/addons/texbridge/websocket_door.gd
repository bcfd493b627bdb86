# A bridge's WebSocket door, for Godot 3: WebSocketClient.

# Godot drops any message over its buffer (64 KiB, unless raised) without a word. Who says max_message_bytes keeps the
# buffer small and gets large messages in parts; who doesn't gets the largest that Godot takes.
const LARGEST_KB = 65536

var max_message_bytes = 0
var trouble = ""

var _client = WebSocketClient.new()
var _messages = []
var _is_open = false
var _is_over = false


func open(url):
	_client.connect("connection_established", self, "_on_established")
	_client.connect("connection_error", self, "_on_closed")
	_client.connect("connection_closed", self, "_on_closed")
	_client.connect("server_close_request", self, "_on_close_request")
	_client.connect("data_received", self, "_on_data")
	if max_message_bytes == 0:
		_client.set_buffers(LARGEST_KB, 1024, 1024, 1024)
	if _client.connect_to_url(url, PoolStringArray(["texbridge.v1"])) != OK:
		_end("can't connect")


func is_open():
	return _is_open and not _is_over


func is_over():
	return _is_over


func poll():
	if not _is_over:
		_client.poll()


func take_messages():
	var messages = _messages
	_messages = []
	return messages


func send(message):
	if is_open():
		_client.get_peer(1).put_packet(message)


func close():
	if not _is_over:
		_end("")


func _on_established(_protocol):
	_client.get_peer(1).set_write_mode(WebSocketPeer.WRITE_MODE_BINARY)
	_is_open = true


# At once, inside of poll(): the buffer is for one message, not for all of a frame.
func _on_data():
	var peer = _client.get_peer(1)
	while peer.get_available_packet_count() > 0:
		_messages.append(peer.get_packet())


func _on_closed(_was_clean = false):
	if not _is_over:
		_is_over = true
		trouble = "the link was closed" if _is_open else "no bridge answers"


func _on_close_request(code, reason):
	trouble = "the bridge closed the link: %d %s" % [code, reason]


func _end(words):
	_is_over = true
	trouble = words
	_client.disconnect_from_host()
