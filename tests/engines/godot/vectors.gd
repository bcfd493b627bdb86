# Reads protocols/vectors/*/*.hex as its README says, and judges the addon's core by them.

const Msgpack = preload("res://addons/texbridge/core/msgpack.gd")
const Wire = preload("res://addons/texbridge/core/wire.gd")
const Parts = preload("res://addons/texbridge/core/parts.gd")
const LengthReader = preload("res://addons/texbridge/core/length_reader.gd")

# 2^63 and more can't be written: GDScript's int is signed. Read they are, as the negative number of the same bits.
const NOT_WRITTEN = ["answer_finished", "answer_memory", "answer_pong", "ping", "run_full", "run_key_number", "sequence_full", "set"]

var problems = []


# {"folder/name": "ok", or what is wrong}
func read_all(folder):
	var told = {}
	for family in ["frame", "part", "framing", "message"]:
		var directory = Directory.new()
		directory.open(folder + "/" + family)
		directory.list_dir_begin(true)
		var name = directory.get_next()
		while name != "":
			if name.ends_with(".hex"):
				problems = []
				judge(family, parse(folder + "/" + family + "/" + name), name.get_basename())
				told[family + "/" + name.get_basename()] = "ok" if problems.empty() else str(problems)
			name = directory.get_next()
	return told


func wrong(words):
	problems.append(words)


# --- the files ------------------------------------------------------------------------------------------------------


func parse(path):
	var file = File.new()
	file.open(path, File.READ)
	var lines = file.get_as_text().split("\n")
	file.close()
	var vector = {"error": 0, "canonical": false, "for_bridges": false, "cuts": [], "limits": {}, "values": {}, "items": []}
	var bytes = StreamPeerBuffer.new()
	for line in lines:
		if line.begins_with("#: "):
			directive(vector, line.substr(3, line.length() - 3))
		elif line.strip_edges() == "---":
			vector["items"].append(bytes.data_array)
			bytes = StreamPeerBuffer.new()
		else:
			hex_line(line, bytes)
	vector["items"].append(bytes.data_array)
	return vector


func directive(vector, text):
	if text.begins_with("expect error "):
		vector["error"] = int(text.split(" ")[2])
	elif text == "canonical":
		vector["canonical"] = true
	elif text == "reader bridge":
		vector["for_bridges"] = true
	elif text.begins_with("cut "):
		for word in text.substr(4, text.length() - 4).split(" ", false):
			vector["cuts"].append(int(word))
	elif text.begins_with("limit ") and not text.begins_with("limit = "):
		var words = text.split(" ")
		vector["limits"][words[1]] = int(words[3])
	elif not text.begins_with("shows ") and not text.begins_with("expect ") and not text.begins_with("direction "):
		var place = text.find(" = ")
		if place < 0:
			wrong("unknown directive " + text)
		else:
			vector["values"][text.substr(0, place)] = value_of(text.substr(place + 3, text.length() - place - 3))


func value_of(text):
	if text == "null":
		return null
	if text == "true" or text == "false":
		return text == "true"
	if text == "{}":
		return {}
	if text == "[]":
		return []
	if text.begins_with("h'"):
		var bytes = StreamPeerBuffer.new()
		hex_word(text.substr(2, text.length() - 3), bytes)
		return bytes.data_array
	if text.begins_with("\""):
		return unescape(text.substr(1, text.length() - 2))
	if text.find(".") >= 0 or text.find("e") >= 0:
		return float(text)
	var number = 0
	for place in range(text.length()):
		if text[place] != "-":
			number = number * 10 + (text.ord_at(place) - 48)  # wraps as the bits do
	return -number if text.begins_with("-") else number


func unescape(text):
	var bytes = StreamPeerBuffer.new()
	var place = 0
	while place < text.length():
		var letter = text.ord_at(place)
		place += 1
		if letter == 92:
			var kind = text[place]
			place += 1
			if kind == "u":
				letter = ("0x" + text.substr(place, 4)).hex_to_int()
				place += 4
				if letter >= 0xd800 and letter < 0xdc00:
					var low = ("0x" + text.substr(place + 2, 4)).hex_to_int()
					place += 6
					letter = 0x10000 + ((letter - 0xd800) << 10) + (low - 0xdc00)
			else:
				letter = {"n": 10, "t": 9, "r": 13, "b": 8, "f": 12}.get(kind, kind.ord_at(0))
		put_utf8(letter, bytes)
	return bytes.data_array.get_string_from_utf8()


func put_utf8(letter, bytes):
	if letter < 0x80:
		bytes.put_u8(letter)
	elif letter < 0x800:
		bytes.put_u8(0xc0 | letter >> 6)
		bytes.put_u8(0x80 | letter & 63)
	elif letter < 0x10000:
		bytes.put_u8(0xe0 | letter >> 12)
		bytes.put_u8(0x80 | letter >> 6 & 63)
		bytes.put_u8(0x80 | letter & 63)
	else:
		bytes.put_u8(0xf0 | letter >> 18)
		bytes.put_u8(0x80 | letter >> 12 & 63)
		bytes.put_u8(0x80 | letter >> 6 & 63)
		bytes.put_u8(0x80 | letter & 63)


func hex_line(line, bytes):
	var place = 0
	while place < line.length():
		if line[place] == "#":
			return
		if line[place] == " ":
			place += 1
		elif line[place] == "\"":
			var end = line.find("\"", place + 1)
			bytes.put_data(line.substr(place + 1, end - place - 1).to_utf8())
			place = end + 1
		else:
			var end = line.find(" ", place)
			if end < 0:
				end = line.length()
			var word = line.substr(place, end - place)
			var star = word.find("*")
			var times = 1
			if star > 0:
				times = int(word.substr(star + 1, word.length() - star - 1))
				word = word.substr(0, star)
			var once = StreamPeerBuffer.new()
			hex_word(word, once)
			for _time in range(times):
				bytes.put_data(once.data_array)
			place = end


func hex_word(word, bytes):
	for place in range(0, word.length() - 1, 2):
		bytes.put_u8(("0x" + word.substr(place, 2)).hex_to_int())


# --- judging them ---------------------------------------------------------------------------------------------------


func judge(family, vector, name):
	var refused = vector["error"] != 0 and not vector["for_bridges"]
	if not refused or not vector["cuts"].empty():
		var found = read(family, vector, vector["items"])
		if found == null:
			wrong("is refused")
		elif vector["error"] == 0:
			for path in vector["values"]:
				compare(found, path, vector["values"][path])
	if not refused:
		if vector["canonical"] and family == "message" and not name in NOT_WRITTEN:
			write(vector)
		return
	var datas = []
	for cut in vector["cuts"]:
		datas.append(PoolByteArray() if cut == 0 else vector["items"][0].subarray(0, cut - 1))
	if datas.empty():
		datas = [vector["items"][0]]
	for data in datas:
		var items = vector["items"].duplicate()
		items[0] = data
		if read(family, vector, items) != null:
			wrong("%d bytes of it are taken" % data.size())


# {PATH: value}, or null if it is refused
func read(family, vector, items):
	if family == "frame":
		var frame = Wire.read_frame(items[0])
		return frame if frame["code"] == 0 else null
	if family == "message":
		var told = Msgpack.new().unpack_map(items[0])
		if told == null:
			return null
		var flat = {}
		flatten(told, "", flat)
		return flat
	if family == "part":
		var parts = Parts.new()
		parts.max_total_bytes = vector["limits"].get("max_total_bytes", 1 << 20)
		var found = {}
		for place in range(items.size()):
			found["after.%d" % place] = parts.feed(items[place])
			if parts.code != 0:
				return null
		return found
	var whole = read_stream(items[0], vector, items[0].size())
	for step in [1, 3]:
		var other = read_stream(items[0], vector, step)
		if (whole == null) != (other == null) or (whole != null and to_json(whole) != to_json(other)):
			wrong("another result in pieces of %d" % step)
	return whole


func read_stream(data, vector, step):
	var reader = LengthReader.new()
	reader.max_message_bytes = vector["limits"].get("max_message_bytes", 1 << 20)
	var place = 0
	while place < data.size():
		var end = place + step
		if end > data.size():
			end = data.size()
		reader.feed(data.subarray(place, end - 1))
		place = end
	if reader.code != 0:
		return null
	var found = {"messages": reader.messages.size(), "waiting": reader.waiting()}
	for number in range(reader.messages.size()):
		found["message.%d" % number] = reader.messages[number]
		found["message.%d.bytes" % number] = reader.messages[number].size()
	return found


func flatten(value, path, found):
	var start = "" if path == "" else path + "."
	if typeof(value) == TYPE_DICTIONARY and not value.empty():
		for key in value:
			flatten(value[key], start + key, found)
	elif typeof(value) == TYPE_ARRAY and not value.empty():
		for place in range(value.size()):
			flatten(value[place], start + str(place), found)
	else:
		found[path] = value


func compare(found, path, wanted):
	if not found.has(path):
		wrong(path + " is missing")
	elif not same(found[path], wanted):
		wrong("%s is %s, not %s" % [path, found[path], wanted])


func same(found, wanted):
	var one = typeof(found)
	var other = typeof(wanted)
	if one == TYPE_RAW_ARRAY and other == TYPE_STRING:  # bin where text is meant
		found = found.get_string_from_utf8()
		one = TYPE_STRING
	var numbers = [TYPE_INT, TYPE_REAL]
	if one != other and not (one in numbers and other in numbers):
		return false
	if one == TYPE_DICTIONARY or one == TYPE_ARRAY or one == TYPE_RAW_ARRAY:
		return to_json(found) == to_json(wanted) and found.size() == wanted.size()
	return found == wanted


func write(vector):
	var tree = {}
	for path in vector["values"]:
		var keys = path.split(".")
		var node = tree
		for place in range(keys.size() - 1):
			if not node.has(keys[place]):
				node[keys[place]] = {}
			node = node[keys[place]]
		node[keys[keys.size() - 1]] = vector["values"][path]
	var data = Msgpack.pack(with_lists(tree))
	if data.size() != vector["items"][0].size():
		wrong("is written as %d bytes, not %d" % [data.size(), vector["items"][0].size()])
	var found = {}
	var told = Msgpack.new().unpack_map(data)
	if told == null:
		wrong("what is written can't be read")
		return
	flatten(told, "", found)
	for path in vector["values"]:
		compare(found, path, vector["values"][path])


func with_lists(node):
	if typeof(node) != TYPE_DICTIONARY or node.empty():
		return node
	var list = []
	for place in range(node.size()):
		if not node.has(str(place)):
			var inner = {}
			for key in node:
				inner[key] = with_lists(node[key])
			return inner
		list.append(with_lists(node[str(place)]))
	return list
