# The example's own scene, without a screen: its sliders are moved, and the picture is taken out of its TextureRect.
extends SceneTree

var task = {}
var scene = null
var step = 0
var key = ""


func _init():
	task = parse_json(OS.get_environment("TEXBRIDGE_TEST"))
	Engine.target_fps = 1000
	scene = load("res://main.tscn").instance()
	scene.get_node("TexBridge").address = task["address"]
	scene.get_node("TexBridge").width = 8
	scene.get_node("TexBridge").height = 8
	scene.get_node("TexBridge").connect("finished", self, "_on_finished")
	root.add_child(scene)


func _idle(_delta):
	var texture = scene.get_node("Picture").texture
	if step == 0 and texture != null and scene.get_node("Values").get_child_count() > 0:
		step = 1
		for control in scene.get_node("Values").get_children():
			if control is ColorPickerButton:
				control.emit_signal("color_changed", Color(0.0, 1.0, 0.0))
			elif control is HSlider and control.max_value == 0.5:
				control.value = 0.25
				control.value = 0.0
		key = scene.get_node("TexBridge").run()
	elif step == 2:
		var image = texture.get_data()
		image.lock()
		var color = image.get_pixel(3, 3)
		if color == Color8(0, 255, 0):
			print(to_json({"size": [image.get_width(), image.get_height()], "controls": scene.get_node("Values").get_child_count()}))
			quit()
		image.unlock()


func _on_finished(answer):
	if answer.get("key") == key and answer["outcome"] == "done":
		step = 2
