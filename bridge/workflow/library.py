"""The named workflows: loaded from files given as bytes, replaced live, the old one kept while the new one is bad."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from bridge.errors import ErrorCode, UnknownNameError, WorkflowError
from bridge.workflow.binding import load_workflow
from bridge.workflow.names import nearest
from bridge.workflow.object_info import ObjectInfo
from bridge.workflow.workflow import Workflow

WORKFLOW_FILE: Final = "workflow_api.json"
BINDING_FILE: Final = "binding.toml"

MAX_WORKFLOWS: Final = 1024


@dataclass(frozen=True, slots=True)
class Changes:
    """What is new, different or gone between two looks at the folders; names in order."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed)


def find_changes(before: Mapping[str, Hashable], now: Mapping[str, Hashable]) -> Changes:
    """Compare two maps of workflow name -> fingerprint (whatever the caller takes: sizes, times, a hash)."""
    return Changes(
        added=tuple(sorted(now.keys() - before.keys())),
        changed=tuple(sorted(name for name in now.keys() & before.keys() if now[name] != before[name])),
        removed=tuple(sorted(before.keys() - now.keys())),
    )


class Library:
    """All workflows by name. Reading folders is the caller's job; nothing here touches a disk.

    `errors` has the reason for each name whose newest files can't be used; if an older version was good,
    `get` goes on giving that.
    """

    def __init__(self, object_info: ObjectInfo) -> None:
        self._object_info = object_info
        self._files: dict[str, dict[str, bytes]] = {}
        self._workflows: dict[str, Workflow] = {}
        self._errors: dict[str, WorkflowError] = {}

    @property
    def object_info(self) -> ObjectInfo:
        """Where types and ranges come from."""
        return self._object_info

    @property
    def names(self) -> tuple[str, ...]:
        """Names that `get` answers, in order."""
        return tuple(sorted(self._workflows))

    @property
    def errors(self) -> Mapping[str, WorkflowError]:
        """Why the newest files of a workflow can't be used, by name; a read-only view."""
        return MappingProxyType(self._errors)

    def get(self, name: str) -> Workflow:
        """The workflow of this name.

        Raises:
            UnknownNameError: none has it (202), with the nearest name.
            WorkflowError: its files are there but can't be used, and never could.
        """
        workflow = self._workflows.get(name)
        if workflow is not None:
            return workflow
        if name in self._errors:
            # The same error may be asked for again and again: don't let its traceback grow.
            raise self._errors[name].with_traceback(None)
        near = nearest(name, self._workflows)
        hint = f"did you mean {near!r}?" if near else f"there are {', '.join(self.names) or 'none'}"
        raise UnknownNameError(
            f"there is no workflow {name[:80]!r}; {hint}",
            code=ErrorCode.UNKNOWN_WORKFLOW,
            field="workflow",
            value=name[:80],
            limit=self.names,
        )

    def load(self, folders: Mapping[str, Mapping[str, bytes]]) -> Mapping[str, WorkflowError]:
        """Load many: name -> {file name: bytes}. Gives the errors of those that couldn't be; the others are there."""
        found = {name: error for name, files in folders.items() if (error := self.reload(name, files)) is not None}
        return MappingProxyType(found)

    def reload(self, name: str, files: Mapping[str, bytes]) -> WorkflowError | None:
        """Load or replace one. On an error the old one stays and the error is kept and given back."""
        known = self._files.keys() | self._errors.keys()
        if name not in known and len(known) >= MAX_WORKFLOWS:
            return WorkflowError(f"workflow {name[:80]!r}: there are {MAX_WORKFLOWS} already, which is the limit")
        loaded = self._try(name, files, self._object_info)
        if isinstance(loaded, WorkflowError):
            self._errors[name] = loaded
            return loaded
        self._files[name] = {file: files[file] for file in (WORKFLOW_FILE, BINDING_FILE) if file in files}
        self._workflows[name] = loaded
        self._errors.pop(name, None)
        return None

    def remove(self, name: str) -> None:
        """Forget a workflow and its error; nothing happens if there is none."""
        for table in (self._files, self._workflows, self._errors):
            table.pop(name, None)

    def refresh(self, object_info: ObjectInfo) -> tuple[str, ...]:
        """Take types, ranges and choices from another `object_info`; gives the names whose spec is now another.

        A workflow that doesn't load against it keeps its old form, with the error in `errors`.
        """
        # All of it is loaded before any of it holds: a fault in the middle must not leave two halves.
        loaded = {name: self._try(name, files, object_info) for name, files in self._files.items()}
        self._object_info = object_info
        changed: list[str] = []
        for name, result in loaded.items():
            if isinstance(result, WorkflowError):
                self._errors[name] = result
                continue
            if result.spec != self._workflows[name].spec:
                changed.append(name)
            self._workflows[name] = result
            self._errors.pop(name, None)
        return tuple(changed)

    @staticmethod
    def _try(name: str, files: Mapping[str, bytes], object_info: ObjectInfo) -> Workflow | WorkflowError:
        """The workflow of these files, or why they can't be used."""
        try:
            if WORKFLOW_FILE not in files:
                near = nearest(WORKFLOW_FILE, files)
                hint = f"rename {near!r}" if near else "export it from ComfyUI with Workflow > Export (API)"
                raise WorkflowError(f"workflow {name[:80]!r}: has no {WORKFLOW_FILE}; {hint}")
            return load_workflow(name, files[WORKFLOW_FILE], files.get(BINDING_FILE), object_info)
        except WorkflowError as error:
            return error
