"""A workflow's parameters as custom parameters of an operator, and their values for the bridge.

TouchDesigner's names begin with a capital and have small letters and digits only: `top_left` becomes `Topleft`, a
colour `Topleftr`, `Topleftg`, `Topleftb`, `Toplefta`.
"""

from __future__ import annotations

from typing import Any

PAGE = "Workflow"
RESERVED = {
    "Address",
    "Stream",
    "Workflow",
    "Mode",
    "Format",
    "Width",
    "Height",
    "Token",
    "Output",
    "Run",
    "Parameters",
}
RESERVED |= {"Sharedmemory", "Panic", "Resume"}


def par_names(parameters: list[dict[str, Any]]) -> dict[str, str]:
    """Give {parameter: TouchDesigner's name}, each of them once. Pictures are left out."""
    taken, names = set(RESERVED), {}
    for parameter in parameters:
        if parameter["type"] == "image":
            continue
        name = candidate = parameter["name"].replace("_", "").capitalize()
        count = 1
        while candidate in taken:
            count += 1
            candidate = f"{name}{count}"
        taken.add(candidate)
        names[parameter["name"]] = candidate
    return names


def make_parameters(operator: Any, described: dict[str, Any]) -> None:
    """Make the page `Workflow`; parameters that are there already are made anew."""
    for page in list(operator.customPages):
        if page.name == PAGE:
            page.destroy()
    page = operator.appendCustomPage(PAGE)
    names = par_names(described["parameters"])
    for parameter in described["parameters"]:
        if parameter["name"] in names:
            _append(page, names[parameter["name"]], parameter)


def _append(page: Any, name: str, parameter: dict[str, Any]) -> None:
    kind, label = parameter["type"], parameter.get("label") or parameter["name"]
    value = parameter.get("value", parameter.get("default"))
    if kind in ("string", "seed"):  # a seed has 64 bits, more than a number parameter holds
        pars = page.appendStr(name, label=label)
    elif kind == "bool":
        pars = page.appendToggle(name, label=label)
    elif kind == "choice":
        pars = page.appendMenu(name, label=label)
        pars[0].menuNames = pars[0].menuLabels = parameter["choices"]
    elif kind == "color":
        pars = page.appendRGBA(name, label=label)
        value = [*value, 1.0][:4]
    elif kind in ("vec2", "vec3", "vec4"):
        append = {"vec2": page.appendXY, "vec3": page.appendXYZ, "vec4": page.appendXYZW}
        pars = append[kind](name, label=label)
    else:
        pars = (page.appendInt if kind == "int" else page.appendFloat)(name, label=label)
        for word, clamp, slider in (("min", "clampMin", "normMin"), ("max", "clampMax", "normMax")):
            if word in parameter:
                setattr(pars[0], word, parameter[word])
                setattr(pars[0], clamp, True)
                setattr(pars[0], slider, parameter[word])
    values = value if isinstance(value, (list, tuple)) else [value]
    for par, one in zip(pars, values):  # noqa: B905 - `strict` is not in Python 3.9
        par.default = par.val = str(one) if kind == "seed" else one


def read_values(operator: Any, described: dict[str, Any]) -> dict[str, Any]:
    """Give {parameter: value} of those that the operator has, as the bridge takes them."""
    values: dict[str, Any] = {}
    names = par_names(described["parameters"])
    for parameter in described["parameters"]:
        name = names.get(parameter["name"])
        kind = parameter["type"]
        endings = {"color": "rgba", "vec2": "xy", "vec3": "xyz", "vec4": "xyzw"}.get(kind)
        pars = [getattr(operator.par, f"{name}{ending}", None) for ending in (endings or [""])]
        if name is None or any(par is None for par in pars):
            continue
        found = [par.eval() for par in pars]
        if endings:
            values[parameter["name"]] = [float(value) for value in found]
        elif kind == "seed":
            if str(found[0]).isdigit():
                values[parameter["name"]] = int(found[0])
        else:
            cast = {"int": int, "float": float, "bool": bool}.get(kind, str)
            values[parameter["name"]] = cast(found[0])
    return values
