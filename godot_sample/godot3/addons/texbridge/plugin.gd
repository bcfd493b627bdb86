tool
extends EditorPlugin


func _enter_tree():
	add_custom_type("TexBridge", "Node", preload("texbridge.gd"), null)


func _exit_tree():
	remove_custom_type("TexBridge")
