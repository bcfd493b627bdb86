# One stream of a bridge: the newest frames, and what is said to it. Source: protocols/engine-link.md.
#
#   var link = Link.new()
#   link.settings["stream"] = "sky"
#   link.settings["workflow"] = "gradient"
#   ... every frame:  link.poll(now_ms); var frame = link.take(0)
#
# A lost bridge is looked for again with growing pauses. The session goes on if it still lives; otherwise the stream is
# opened again with the values that were set.

const Platform = preload("../platform.gd")
const Msgpack = preload("msgpack.gd")
const Wire = preload("wire.gd")
const Parts = preload("parts.gd")
const TcpDoor = preload("tcp_door.gd")

const LONGEST_PAUSE_MS = 5000
const CONNECT_WITHIN_MS = 5000
const SILENCE_MS = 5000  # then a ping; after three times as long the link is taken as lost
const MAX_MESSAGES = 1024

# address: HOST:PORT, or ws://HOST:PORT/link. workflow: makes the stream; "" looks at one that is there.
# size: [w, h] that frames are to have, or []. max_message_bytes: larger messages come in parts; 0: whole.
var settings = {
	"address": "127.0.0.1:9402",
	"stream": "main",
	"workflow": "",
	"mode": "live",
	"format": "rgba8",
	"size": [],
	"mips": false,
	"token": "",
	"max_message_bytes": 0,
	"client": "texbridge-godot 0.1.0",
}
var is_connected_to_bridge = false
var trouble = ""  # why there is no picture, for people
var welcome = {}
var described = {}
var messages = []  # what came besides frames: finished, progress, changed, error; empty it as you read
var counts = {"frames": 0, "parts": 0, "links": 0}

var _door = null
var _parts = null
var _reader = Msgpack.new()
var _values = {}
var _runs = {}
var _next_key = 0
var _number = -1
var _building = []
var _newest = []
var _shown = []
var _in_hand = 0
var _greeted = false
var _pause_ms = 100
var _next_try_ms = 0
var _began_ms = 0
var _heard_ms = 0
var _pinged = false
var _is_closed = false


# Once a frame; `now_ms` is any clock that only grows.
func poll(now_ms):
	if _is_closed:
		return
	if _door == null:
		if now_ms >= _next_try_ms:
			_begin(now_ms)
		return
	_door.poll()
	if _door.is_open() and not _greeted:
		_greeted = true
		_heard_ms = now_ms
		_door.send(Msgpack.pack(_hello()))
	for message in _door.take_messages():
		_heard_ms = now_ms
		_pinged = false
		if _door != null and not _door.is_over():
			_take(message)
	if _door.is_over():
		_lose(now_ms, _door.trouble)
	elif not _greeted and now_ms - _began_ms > CONNECT_WITHIN_MS:
		_lose(now_ms, "no answer")
	elif now_ms - _heard_ms > 3 * SILENCE_MS:
		_lose(now_ms, "nothing was heard")
	elif now_ms - _heard_ms > SILENCE_MS and is_connected_to_bridge and not _pinged:
		_pinged = true
		tell({"op": "ping"})


# The newest frame of an output: the header's fields by name, and `payload`. Empty if there is no newer one than at the
# last call. It also tells the bridge that the next set may come, so call it once a frame.
func take(output):
	if _in_hand != 0:
		tell({"op": "ack", "stream": _number, "number": _in_hand})
		_in_hand = 0
	if _newest.size() == 0:
		return {}
	_shown = _newest
	_newest = []
	if (_shown[0]["flags"] & Wire.PREVIEW) == 0:
		_in_hand = _shown[0]["number"]
	for frame in _shown:
		if frame["output"] == output:
			return frame
	return {}


# Set values; those of a live stream are seen in its next picture.
func set_values(params):
	for name in params:
		_values[name] = params[name]
	tell({"op": "set", "stream": settings["stream"], "params": params})


# Ask for one picture; gives the key that its `finished` has. `seed` below 0: the stream's own.
func run(params, seed_value):
	_next_key += 1
	var key = "godot-%d" % _next_key
	var message = {"op": "run", "stream": settings["stream"], "key": key}
	if params.size() > 0:
		message["params"] = params
		for name in params:
			_values[name] = params[name]
	if seed_value >= 0:
		message["seed"] = seed_value
	_runs[key] = message
	tell(message)
	return key


# Say anything, while there is a link: {"op": "blackout", "stream": "main", "on": true, "fade_s": 1.0}
func tell(message):
	if is_connected_to_bridge and _door != null:
		_door.send(Msgpack.pack(message))


func close():
	_is_closed = true
	if _door != null:
		_door.close()
	_door = null
	is_connected_to_bridge = false


func _begin(now_ms):
	var address = settings["address"]
	_greeted = false
	_began_ms = now_ms
	_heard_ms = now_ms
	_pinged = false
	_parts = Parts.new()
	if address.begins_with("ws://") or address.begins_with("wss://"):
		_door = Platform.websocket_door(settings["max_message_bytes"])
		_door.open(address)
	else:
		_door = TcpDoor.new()
		var colon = address.rfind(":")
		var host = address.substr(0, colon).replace("[", "").replace("]", "")
		_door.open(host, address.substr(colon + 1, address.length() - colon - 1).to_int())


func _lose(now_ms, words):
	if words != "":
		trouble = "%s: %s" % [settings["address"], words]
	_door.close()
	_door = null
	is_connected_to_bridge = false
	_building = []
	_in_hand = 0
	if now_ms - _began_ms > LONGEST_PAUSE_MS:
		_pause_ms = 100
	_next_try_ms = now_ms + int(_pause_ms * (0.5 + 0.5 * randf()))
	_pause_ms = _pause_ms * 2 if _pause_ms * 2 < LONGEST_PAUSE_MS else LONGEST_PAUSE_MS


func _hello():
	var hello = {"op": "hello", "version": 1, "client": settings["client"]}
	if settings["token"] != "":
		hello["token"] = settings["token"]
	if settings["max_message_bytes"] > 0:
		hello["max_message_bytes"] = settings["max_message_bytes"]
	if welcome.has("session"):
		hello["session"] = welcome["session"]
	return hello


func _take(message):
	var kind = Wire.kind_of(message)
	if kind == 2:
		counts["parts"] += 1
		message = _parts.feed(message)
		if _parts.code != 0:
			_door.close()
			trouble = "error %d in a message of parts" % _parts.code
			return
		if message == null:
			return
		kind = Wire.kind_of(message)
	if kind == 1:
		_take_frame(Wire.read_frame(message))
		return
	var told = _reader.unpack_map(message)
	if told == null:
		trouble = "a message was dropped: error %d" % _reader.code
		if _reader.code == 102:
			_door.close()
		return
	_hear(told)


func _hear(told):
	var op = str(told.get("op"))
	if op == "welcome":
		_on_welcome(told)
	elif op == "subscribed":
		_number = told["number"]
	elif op == "described":
		described = told
	elif op == "error":
		_on_error(told)
	elif op == "finished":
		_runs.erase(told.get("key"))
	elif op == "changed" and told.has("workflow"):
		tell({"op": "describe", "stream": settings["stream"]})
	if messages.size() < MAX_MESSAGES:
		messages.append(told)


func _on_welcome(told):
	var restarted = welcome.has("boot") and welcome["boot"] != told["boot"]
	var resumed = told.get("resumed") == true and _number >= 0
	var stream = settings["stream"]
	welcome = told
	is_connected_to_bridge = true
	trouble = ""
	counts["links"] += 1
	if not resumed:
		_number = -1
		_subscribe(stream)
	elif _values.size() > 0:
		tell({"op": "set", "stream": stream, "params": _values})
	tell({"op": "describe", "stream": stream})
	if restarted:
		for key in _runs:
			messages.append({"op": "finished", "key": key, "outcome": "failed", "name": "link_lost"})
		_runs = {}
	for key in _runs:
		tell(_runs[key])  # the same key: what is known already makes nothing new


func _subscribe(stream):
	if settings["workflow"] != "":
		var opening = {"op": "open", "id": 1, "stream": stream, "workflow": settings["workflow"]}
		opening["mode"] = settings["mode"]
		if _values.size() > 0:
			opening["params"] = _values
		tell(opening)
	elif _values.size() > 0:
		tell({"op": "set", "id": 1, "stream": stream, "params": _values})
	var asked = {"op": "subscribe", "id": 2, "stream": stream, "format": settings["format"]}
	asked["origin"] = "top_left"
	asked["delivery"] = "latest"
	asked["credit"] = 1
	if settings["size"].size() == 2:
		asked["size"] = settings["size"]
	if settings["mips"]:
		asked["mips"] = true
	tell(asked)


func _on_error(told):
	trouble = "%s: %s" % [told.get("name"), told.get("message")]
	var id = told.get("id")
	var is_opening = typeof(id) == TYPE_INT and (id == 1 or id == 2)
	if is_opening or (told.get("fatal") == true and told.get("code") == 409):
		welcome.erase("session")  # begin anew: no stream yet, or another socket has the session
	if is_opening or told.get("fatal") == true:
		_door.close()


func _take_frame(frame):
	if frame["code"] != 0:
		trouble = "a frame was dropped"
		return
	if frame["stream"] != _number or (frame["flags"] & Wire.SHARED_MEMORY) != 0:
		return
	counts["frames"] += 1
	if _building.size() > 0 and not _same_set(_building[0], frame):
		_building = []  # it was broken off
	_building.append(frame)
	if (frame["flags"] & Wire.LAST_OF_SET) != 0:
		_newest = _building
		_building = []
		if (frame["flags"] & Wire.HELD) == 0:
			trouble = ""


static func _same_set(one, other):
	var kind = Wire.HELD | Wire.PREVIEW
	if one["number"] != other["number"] or one["request"] != other["request"] or one["index"] != other["index"]:
		return false
	return (one["flags"] & kind) == (other["flags"] & kind)
