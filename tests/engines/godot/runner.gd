# What the test has Godot 3 do, told by the variable TEXBRIDGE_TEST (JSON). Ends by itself; the last line is JSON.
extends SceneTree

const Link = preload("res://addons/texbridge/core/link.gd")
const Wire = preload("res://addons/texbridge/core/wire.gd")
const Vectors = preload("res://vectors.gd")

var task = {}
var link = null
var out = null
var index = 0
var key = ""
var request = -1
var boots = {}
var failed = 0


func _init():
	task = parse_json(OS.get_environment("TEXBRIDGE_TEST"))
	Engine.target_fps = 1000
	if task["mode"] == "vectors":
		say({"read": Vectors.new().read_all(task["folder"])})
		quit()
		return
	link = Link.new()
	for name in task["settings"]:
		link.settings[name] = task["settings"][name]
	link.settings["max_message_bytes"] = int(link.settings["max_message_bytes"])
	out = File.new()
	if out.open(task["out"], File.WRITE) != OK:
		printerr("can't write ", task["out"])
		quit()


func say(words):
	print(to_json(words))


# Four colours, softness and clouds of picture number `index`; the test has the same.
func values_of(number):
	return {
		"top_left": [number % 256 / 255.0, number * 7 % 256 / 255.0, number * 13 % 256 / 255.0],
		"top_right": [0.0, 1.0, 0.0],
		"bottom_left": Color(0.0, 0.0, 1.0),
		"bottom_right": [1, 1, 1],
		"blur": 0.5,
		"noise": 0.1 if number % 2 == 1 else 0.0,
	}


func _idle(_delta):
	if link == null:
		return
	link.poll(OS.get_ticks_msec())
	var frame = link.take(0)
	for told in link.messages:
		hear(told)
	link.messages = []
	if record(frame) if task["mode"] == "record" else survive(frame):
		quit()


func hear(told):
	var op = told["op"]
	if op == "welcome":
		boots[told["boot"]] = true
		if task["mode"] == "survive":
			say({"link": link.counts["links"]})
	elif op == "accepted" and told["key"] == key:
		request = told["request"]
	elif op == "finished" and told["outcome"] != "done":
		failed += 1
		if told["key"] == key:
			key = ""  # asked again
	elif op == "error":
		say({"error": told})


func ask(seed_value):
	request = -1
	key = link.run(values_of(index), seed_value)


# Each picture as it comes out of Godot's own Image.
func record(frame):
	if key == "" and link.is_connected_to_bridge:
		ask(index)
	if frame.empty() or request < 0 or frame["request"] != request:
		return false
	var image = Wire.make_image(frame)
	if image.is_compressed():
		for _level in range(16):
			out.store_8(0)
	else:
		store_corners(image)
	var data = image.get_data()
	for number in [index, frame["number"], frame["flags"], frame["width"], frame["height"], data.size()]:
		out.store_32(number)
	out.store_buffer(data)
	index += 1
	key = ""
	if index < int(task["pictures"]):
		return false
	out.close()
	link.close()
	say({"counts": link.counts, "failed": failed})
	return true


func store_corners(image):
	image.lock()
	var last_x = image.get_width() - 1
	var last_y = image.get_height() - 1
	for corner in [[0, 0], [last_x, 0], [0, last_y], [last_x, last_y]]:
		var color = image.get_pixel(corner[0], corner[1])
		for level in [color.r8, color.g8, color.b8, color.a8]:
			out.store_8(level)
	image.unlock()


# Goes on through the end of a link, until there is a picture over the second one.
func survive(frame):
	# The fourth is asked for while there is no link, if the test says so.
	var while_cut = task.has("cut") and index == 3
	if key == "" and link.is_connected_to_bridge != while_cut:
		ask(-1)
	if frame.empty() or request < 0 or frame["request"] != request:
		return false
	index += 1
	key = ""
	say({"picture": index, "boots": boots.size()})
	if link.counts["links"] < 2:
		return false
	var image = Wire.make_image(frame)
	out.store_buffer(image.get_data())
	out.close()
	link.close()
	say({"counts": link.counts, "failed": failed, "trouble": link.trouble, "boots": boots.size()})
	return true
