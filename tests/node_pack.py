"""The pure modules of the node pack, loaded from its folder: they need neither torch nor ComfyUI."""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

PACK = Path(__file__).resolve().parent.parent / "comfyui_nodes"


def load(name: str) -> ModuleType:
    """One module of the pack that imports nothing of the others."""
    full = f"texbridge_pack_{name}"
    if full not in sys.modules:
        spec = importlib.util.spec_from_file_location(full, PACK / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[full] = module
        spec.loader.exec_module(module)
    return sys.modules[full]


def load_with_torch(name: str) -> ModuleType:
    """A module of the pack that imports others of it; no ComfyUI needed for `pixels`."""
    package = "texbridge_pack"
    if package not in sys.modules:
        made = ModuleType(package)
        made.__path__ = [str(PACK)]  # its own __init__ needs ComfyUI
        sys.modules[package] = made
    return importlib.import_module(f"{package}.{name}")
