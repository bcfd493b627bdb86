"""The files of the Unity package: what can be said of them without Mono."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
from pathlib import Path
from types import ModuleType

REPOSITORY = Path(__file__).parents[2]
PROJECT = REPOSITORY / "unity_sample"
PACKAGE = PROJECT / "Packages" / "dev.texbridge.unity"


def project_files() -> list[Path]:
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "unity_sample"],
        cwd=REPOSITORY,
        capture_output=True,
        encoding="utf-8",
        check=True,
    ).stdout.splitlines()
    return [REPOSITORY / name for name in tracked]


def test_each_file_and_folder_has_a_meta_with_its_own_guid():
    guids: dict[str, Path] = {}
    files = [path for path in project_files() if PROJECT in path.parents]
    for root in (PACKAGE, PROJECT / "Assets"):
        inside = [path for path in files if root in path.parents]
        folders = {folder for path in inside for folder in path.parents if root in folder.parents}
        wanted = {path for path in inside if path.suffix != ".meta"} | folders
        wanted = {path for path in wanted if not any(part.endswith("~") for part in path.relative_to(root).parts)}
        metas = {path for path in inside if path.suffix == ".meta"}
        assert metas == {path.with_name(path.name + ".meta") for path in wanted}
        for meta in metas:
            text = meta.read_text(encoding="utf-8")
            guid = re.search(r"^guid: ([0-9a-f]{32})$", text, re.M)[1]
            assert guid not in guids, (meta, guids.get(guid))
            assert text == metas_module().meta_text(meta.with_suffix("")), f"{meta}: make it again with metas.py"
            guids[guid] = meta
    assert len(guids) > 40


def metas_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("metas", PROJECT / "metas.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_package_is_what_its_files_say():
    package = json.loads((PACKAGE / "package.json").read_text(encoding="utf-8"))
    assert package["name"] == PACKAGE.name
    assert package["unity"] == "2021.3"
    samples = {path.name for path in (PACKAGE / "Samples~").iterdir()}
    assert {Path(sample["path"]).name for sample in package["samples"]} == samples
    changes = (PACKAGE / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{package['version']}]" in changes
    names = {json.loads(path.read_text(encoding="utf-8"))["name"] for path in PACKAGE.rglob("*.asmdef")}
    link = (PACKAGE / "link.xml").read_text(encoding="utf-8")
    runtime = {"TexBridge.Protocol", "TexBridge.Transport", "TexBridge.Components"}
    assert set(re.findall(r'assembly fullname="([^"]+)"', link)) >= runtime
    assert runtime <= names
    version = (PROJECT / "ProjectSettings" / "ProjectVersion.txt").read_text(encoding="utf-8")
    assert version.startswith("m_EditorVersion: 2021.3.")


def test_the_core_needs_no_engine():
    for folder in ("Protocol", "Transport"):
        asmdef = json.loads(next((PACKAGE / "Runtime" / folder).glob("*.asmdef")).read_text(encoding="utf-8"))
        assert asmdef["noEngineReferences"] is True
        for source in (PACKAGE / "Runtime" / folder).glob("*.cs"):
            text = source.read_text(encoding="utf-8")
            assert "UnityEngine" not in text, source
            assert "\r" not in text, source


def test_the_readmes_formats_are_the_registrys():
    """The table of pixel formats in the package's README, TextureFormats.cs and protocols/registry.md agree."""
    registry = (REPOSITORY / "protocols" / "registry.md").read_text(encoding="utf-8")
    names = dict(re.findall(r"^\| `(\w+)` \| `(\w+)` / `", registry, re.M))
    readme = dict(re.findall(r"^\| `(\w+)` \| `(\w+)` \|", (PACKAGE / "README.md").read_text(encoding="utf-8"), re.M))
    code = (PACKAGE / "Runtime" / "Components" / "TextureFormats.cs").read_text(encoding="utf-8")
    cases = {
        wire.lower(): unity
        for wire, unity in re.findall(r"case PixelFormat\.(\w+): return TextureFormat\.(\w+);", code)
    }
    assert readme == names == cases


# Unity's own names in the READMEs; the package's README says where each was looked up.
UNITY = {
    "Add > Add project from disk",
    "Window > Package Manager",
    "Window > Package Management",
    "Window > Package Management > Package Manager",
    "Add package from git URL",
    "Install package from git URL",
    "In Project",
    "Packages",
    "Samples",
    "Import",
    "GameObject > Create Empty",
    "GameObject > 3D Object",
    "GameObject > 3D Object > Quad",
    "Add Component",
    "Project Settings > Graphics",
    "Project Settings > Graphics > Always Included Shaders",
    "Play",
}


def label(name: str) -> str:
    """How Unity's Inspector writes a field's or a script's name: words apart, each with a capital."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Za-z])(?=[0-9])", " ", name)
    return words[0].upper() + words[1:]


def code_files() -> dict[Path, str]:
    paths = [*PACKAGE.rglob("*.cs"), *(PROJECT / "Assets").rglob("*.cs")]
    return {path: path.read_text(encoding="utf-8") for path in paths}


def own_names() -> set[str]:
    """What the package puts before a user's eyes: menus, components, fields, buttons, messages, samples, shaders."""
    names = set()
    for path, code in code_files().items():
        names |= {menu.replace("/", " > ") for menu in re.findall(r'MenuItem\("([^"]+)"\)', code)}
        names |= {
            f"Add Component > {menu.replace('/', ' > ')}" for menu in re.findall(r'AddComponentMenu\("([^"]+)"\)', code)
        }
        for fields in re.findall(r"\[SerializeField\] [\w\[\]]+ ([^=;]+)[=;]", code):
            names |= {label(field.strip()) for field in fields.split(",")}
        names |= set(re.findall(r'GUILayout\.Button\("([^"]+)"\)', code))
        if "Samples~" in path.parts:
            names |= {label(script) for script in re.findall(r"class (\w+) : MonoBehaviour", code)}
    shaders = (PACKAGE / "Runtime" / "Components" / "PictureMaterial.cs").read_text(encoding="utf-8")
    names |= set(re.findall(r'"([\w ]+/[\w ]+)"', shaders))
    package = json.loads((PACKAGE / "package.json").read_text(encoding="utf-8"))
    return names | {package["displayName"]} | {sample["displayName"] for sample in package["samples"]}


def test_every_name_in_the_readmes_is_one_that_a_user_sees():
    """What stands between asterisks is a name of Unity, or one of ours as the code has it."""
    ours = own_names()
    assert {"Blend Fps", "Uppermost Row First", "Live Quad", "Window > TexBridge", "Add to scene"} <= ours
    for readme in (PROJECT / "README.md", PACKAGE / "README.md"):
        text = re.sub(r"```.*?```|`[^`]*`", "", readme.read_text(encoding="utf-8"), flags=re.S)
        said = {" ".join(name.split()) for name in re.findall(r"(?<![*\w])\*([^*]+)\*(?![*\w])", text)}
        messages = {name for name in said if name.endswith("...")}
        for message in messages:
            assert any(message[:-3] in code for code in code_files().values()), message
        unknown = said - ours - UNITY - messages
        assert not unknown, f"{readme.name}: {sorted(unknown)}: not in the code, nor a name of Unity that was looked up"


def test_every_menu_component_and_sample_is_in_the_readmes():
    readme = (PACKAGE / "README.md").read_text(encoding="utf-8")
    code = "\n".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.cs"))
    for path in re.findall(r'MenuItem\("([^"]+)"\)', code):
        assert f"*{path.replace('/', ' > ')}*" in readme
    paths = re.findall(r'AddComponentMenu\("([^"]+)"\)\]\s+public sealed class (\w+)', code)
    assert len(paths) == len(list((PACKAGE / "Runtime" / "Components").glob("TexBridge*.cs")))
    for path, component in paths:
        assert f"| `{component}` |" in readme
        assert f"TexBridge{path.split('/')[1]}".lower() == component.lower()
    rows = re.findall(r"^\| ([^|]+) \| \*([^*]+)\* \|", (PROJECT / "README.md").read_text(encoding="utf-8"), re.M)
    package = json.loads((PACKAGE / "package.json").read_text(encoding="utf-8"))
    scripts = {
        sample["displayName"]: label(
            re.search(r"class (\w+) : MonoBehaviour", next(folder.glob("*.cs")).read_text())[1]
        )
        for sample in package["samples"]
        for folder in [PACKAGE / sample["path"]]
    }
    assert dict(rows) == scripts
