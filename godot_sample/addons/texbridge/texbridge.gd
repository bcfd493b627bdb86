# A node that shows a stream of texbridge: `texture` is always the newest picture. Godot 4.
#
#   $TexBridge.set_values({"noise": 0.2, "top_left": Color.RED})
#   $TexBridge.run()
extends Node

signal frame_changed(frame)  # a new picture is in `texture`; the header's fields by name
signal described(description)  # parameters, outputs and size of the stream
signal finished(answer)  # the one answer to each run: outcome, key, seed ...
signal told(message)  # anything else: progress, changed, error

const Link = preload("core/link.gd")
const Wire = preload("core/wire.gd")

## HOST:PORT of the bridge's TCP door, or ws://HOST:PORT/link (the only one in a browser).
@export var address = "127.0.0.1:9402"
## The stream's name.
@export var stream = "main"
## Makes the stream if it isn't there. Empty: it must be.
@export var workflow = ""
@export_enum("live", "latest", "oneshot") var mode = "live"
@export_enum("rgba8", "rgb8", "r8", "rgba16f", "rgba32f", "r16f", "r32f", "bc1", "bc3", "bc7") var format = "rgba8"
## Frames are scaled to this by the bridge; 0: as they are made.
@export var width = 0
@export var height = 0
@export var mips = false
## Which output of the workflow, from 0.
@export var output = 0
## The bridge's secret; only beyond this machine.
@export var token = ""
## Larger messages then come in parts; 0: whole.
@export var max_message_bytes = 0
## A node whose `texture` is to be the picture: TextureRect, Sprite2D, Sprite3D ...
@export var target: NodePath

var texture = ImageTexture.new()
var image = null

var _link = null


func _ready():
	process_mode = Node.PROCESS_MODE_ALWAYS  # a paused game still acks, and has the newest picture when it goes on
	connect_to_bridge()


## Begin, or begin anew after a change of the address, the stream ...
func connect_to_bridge():
	if _link != null:
		_link.close()
	_link = Link.new()
	for name_of_setting in ["address", "stream", "workflow", "mode", "format", "mips", "token", "max_message_bytes"]:
		_link.settings[name_of_setting] = get(name_of_setting)
	_link.settings["size"] = [width, height] if width > 0 and height > 0 else []


## Why there is no picture, for people; empty if all is well.
func trouble():
	return _link.trouble if _link != null else ""


func is_connected_to_bridge():
	return _link != null and _link.is_connected_to_bridge


## Set values: floats, ints, bools, Strings, Colors, vectors.
func set_values(params):
	_link.set_values(params)


## Ask for one picture; gives the key that `finished` has. A seed below 0: the stream's own.
func run(params = {}, seed_value = -1):
	return _link.run(params, seed_value)


## Say anything: tell({"op": "blackout", "stream": "main", "on": true, "fade_s": 1.0})
func tell(message):
	_link.tell(message)


func _process(_delta):
	_link.poll(Time.get_ticks_msec())
	var messages = _link.messages
	_link.messages = []
	for message in messages:
		_hear(message)
	var frame = _link.take(output)
	if not frame.is_empty():
		_show(frame)


func _hear(message):
	if message["op"] == "described":
		described.emit(message)
	elif message["op"] == "finished":
		finished.emit(message)
	else:
		told.emit(message)


func _show(frame):
	var newer = Wire.make_image(frame)
	if newer == null:
		return
	var is_alike = image != null and image.get_size() == newer.get_size() and image.get_format() == newer.get_format()
	image = newer
	if is_alike:
		texture.update(image)
	else:
		texture.set_image(image)
	if not target.is_empty():
		get_node(target).texture = texture
	frame_changed.emit(frame)


func _exit_tree():
	if _link != null:
		_link.close()
