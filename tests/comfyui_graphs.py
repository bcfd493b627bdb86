"""The small graphs that are recorded."""


def empty(color: int = 0x3264C8, size: int = 64, batch: int = 1) -> dict:
    return {
        "class_type": "EmptyImage",
        "inputs": {"width": size, "height": size, "batch_size": batch, "color": color},
    }


def blur(source: str, radius: int = 2, sigma: float = 1.0) -> dict:
    return {"class_type": "ImageBlur", "inputs": {"image": [source, 0], "blur_radius": radius, "sigma": sigma}}


def node(name: str, **inputs: object) -> dict:
    return {"class_type": name, "inputs": {key: _link(value) for key, value in inputs.items()}}


def _link(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def out(source: str) -> dict:
    return {"class_type": "SaveImageWebsocket", "inputs": {"images": [source, 0]}}


def flat(color: int = 0x3264C8, batch: int = 1) -> dict:
    """EmptyImage -> ImageBlur -> SaveImageWebsocket."""
    return {"1": empty(color, batch=batch), "2": blur("1"), "9": out("2")}


def long_run(color: int, steps: int = 4) -> dict:
    """A prompt that takes a second or so; its picture is small."""
    graph = {"0": empty(color, 640)}
    graph |= {str(step): blur(str(step - 1), 31, 5.0) for step in range(1, steps + 1)}
    graph["98"] = node("ImageScale", image=(str(steps), 0), upscale_method="area", width=16, height=16, crop="disabled")
    return graph | {"99": out("98")}


METADATA = {"type": "feature_flags", "data": {"supports_preview_metadata": True}}
