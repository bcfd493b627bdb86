# A picture, and a slider or colour for each parameter of its workflow. Godot 4.
extends HBoxContainer

@onready var bridge = $TexBridge


func _ready():
	bridge.described.connect(_on_described)
	bridge.finished.connect(_on_finished)


func _process(_delta):
	get_window().title = bridge.trouble() if bridge.trouble() != "" else "texbridge"


func _unhandled_key_input(event):
	if event.is_pressed() and event.keycode == KEY_SPACE:
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
		slider.value_changed.connect(func(number): bridge.set_values({key: number}))
		return slider
	if parameter["type"] == "color":
		var picker = ColorPickerButton.new()
		picker.custom_minimum_size = Vector2(0, 32)
		picker.color = Color(value[0], value[1], value[2])
		picker.color_changed.connect(func(color): bridge.set_values({key: color}))
		return picker
	if parameter["type"] == "string":
		var edit = LineEdit.new()
		edit.text = value
		edit.text_submitted.connect(func(text): bridge.set_values({key: text}))
		return edit
	return null


func _on_finished(answer):
	if answer["outcome"] == "failed":
		push_warning("%s: %s" % [answer.get("name"), answer.get("message")])
