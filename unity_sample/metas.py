"""Write a .meta file for each file and folder of the package and of Assets, as Unity would, with GUIDs made from paths.

    python3 unity_sample/metas.py

Run it after a file was added, renamed or removed. Unity knows assets by their GUIDs: made from the path, they are the
same for everybody, and no two are alike.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

PROJECT = Path(__file__).resolve().parent
ROOTS = (PROJECT / "Packages" / "dev.texbridge.unity", PROJECT / "Assets")
TAIL = "  externalObjects: {}\n  userData: \n  assetBundleName: \n  assetBundleVariant: \n"
SCRIPT = (
    "MonoImporter:\n  externalObjects: {}\n  serializedVersion: 2\n  defaultReferences: []\n  executionOrder: 0\n"
    "  icon: {instanceID: 0}\n  userData: \n  assetBundleName: \n  assetBundleVariant: \n"
)
IMPORTERS = {".asmdef": "AssemblyDefinitionImporter", ".md": "TextScriptImporter", ".xml": "TextScriptImporter"}


def meta_text(path: Path) -> str:
    """Give the content of the .meta file of a file or folder."""
    name = path.resolve().relative_to(PROJECT).as_posix()
    guid = hashlib.md5(f"texbridge/{name}".encode(), usedforsecurity=False).hexdigest()
    head = f"fileFormatVersion: 2\nguid: {guid}\n"
    if path.is_dir():
        return f"{head}folderAsset: yes\nDefaultImporter:\n{TAIL}"
    if path.suffix == ".cs":
        return head + SCRIPT
    if path.name == "package.json":
        return f"{head}PackageManifestImporter:\n{TAIL}"
    return f"{head}{IMPORTERS.get(path.suffix, 'DefaultImporter')}:\n{TAIL}"


def assets(root: Path) -> list[Path]:
    """Give what Unity sees below a folder: not what ends in ~, nor what begins with a dot."""
    found = []
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        if path.suffix != ".meta" and not any(part.endswith("~") or part.startswith(".") for part in parts):
            found.append(path)
    return found


def main() -> None:
    for root in ROOTS:
        wanted = {path.with_name(path.name + ".meta"): path for path in assets(root)}
        for meta in root.rglob("*.meta"):
            if meta not in wanted:
                meta.unlink()
        for meta, path in wanted.items():
            meta.write_text(meta_text(path), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
