"""The Unity package as Unity compiles it, by Debian's Mono against a stub of UnityEngine: shared by the tests of it."""

from __future__ import annotations

import json
from pathlib import Path

from mono import compile_csharp

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
PROJECT = REPOSITORY / "unity_sample"
PACKAGE = PROJECT / "Packages" / "dev.texbridge.unity"


def build(folder: Path) -> Path:
    """Compile one assembly for each asmdef, samples, Assets, and the tests' Runner.exe on top, into a folder.

    The core (Protocol, Transport) is compiled without the stub of UnityEngine: `noEngineReferences`.
    """
    stub = HERE / "unity_stub"
    engine = compile_csharp(folder / "UnityEngine.dll", [stub / "UnityEngine.cs"])
    editor = compile_csharp(folder / "UnityEditor.dll", [stub / "UnityEditor.cs"], [engine])
    nunit = compile_csharp(folder / "nunit.framework.dll", [stub / "NUnit.cs"])
    made: dict[str, Path] = {}
    for asmdef in sorted(PACKAGE.rglob("*.asmdef"), key=lambda path: len(json.loads(path.read_text())["references"])):
        assembly = json.loads(asmdef.read_text(encoding="utf-8"))
        references = [made[name] for name in assembly["references"]]
        if not assembly["noEngineReferences"]:
            references.append(engine)
        if "Editor" in assembly["includePlatforms"]:
            references.append(editor)
        if "nunit.framework.dll" in assembly["precompiledReferences"]:
            references.append(nunit)
        sources = [path for path in asmdef.parent.rglob("*.cs") if nearest_asmdef(path) == asmdef]
        made[assembly["name"]] = compile_csharp(folder / f"{assembly['name']}.dll", sources, references)
    assert {"TexBridge.Protocol", "TexBridge.Transport", "TexBridge.Components", "TexBridge.Editor"} <= set(made)
    everything = [*made.values(), engine, editor, nunit]
    samples = compile_csharp(folder / "Samples.dll", (PACKAGE / "Samples~").glob("*/*.cs"), everything)
    compile_csharp(folder / "Assets.dll", (PROJECT / "Assets").rglob("*.cs"), everything)
    compile_csharp(folder / "Runner.exe", (HERE / "unity").glob("*.cs"), [*everything, samples])
    return folder


def nearest_asmdef(source: Path) -> Path | None:
    """Give the assembly definition that a source belongs to."""
    for folder in source.parents:
        if found := list(folder.glob("*.asmdef")):
            return found[0]
    return None
