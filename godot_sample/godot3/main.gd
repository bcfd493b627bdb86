# A picture, and a slider or colour for each parameter of its workflow. Godot 3.
extends HBoxContainer

onready var bridge = $TexBridge


func _ready():
	bridge.connect("described", self, "_on_described")
	bridge.connect("finished", self, "_on_finished")


func _process(_delta):
	OS.set_window_title(bridge.trouble() if bridge.trouble() != "" else "texbridge")


func _unhandled_key_input(event):
	if event.is_pressed() and event.scancode == KEY_SPACE:
		bridge.run()


func _on_described(description):
	for child in $Values.get_children():
		child.queue_free()
	for parameter in description["parameters"]:
		var control = _control_for(parameter)
		if control != null:
			var label = Label.new()
			label.text = parameter["label"]
			$Values.add_child(label)
			$Values.add_child(control)


func _control_for(parameter):
	var key = parameter["name"]
	var value = parameter["value"] if parameter.has("value") else parameter.get("default")
	if (parameter["type"] == "float" or parameter["type"] == "int") and parameter.has("max"):
		var slider = HSlider.new()
		slider.min_value = parameter["min"]
		slider.max_value = parameter["max"]
		slider.step = 1.0 if parameter["type"] == "int" else 0.001
		slider.value = value
		slider.connect("value_changed", self, "_on_value", [key])
		return slider
	if parameter["type"] == "color":
		var picker = ColorPickerButton.new()
		picker.rect_min_size = Vector2(0, 32)
		picker.color = Color(value[0], value[1], value[2])
		picker.connect("color_changed", self, "_on_value", [key])
		return picker
	if parameter["type"] == "string":
		var edit = LineEdit.new()
		edit.text = value
		edit.connect("text_entered", self, "_on_value", [key])
		return edit
	return null


func _on_value(value, key):
	bridge.set_values({key: value})


func _on_finished(answer):
	if answer["outcome"] == "failed":
		push_warning("%s: %s" % [answer.get("name"), answer.get("message")])
