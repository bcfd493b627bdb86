"""One file in, a workflow's two files out: converted where it must be, with a proposed binding that loads.

With the files of an earlier time beside it, names, labels and ranges are carried over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bridge.errors import WorkflowError
from bridge.workflow.binding import load_workflow
from bridge.workflow.binding_file import BindingFile, ParameterEntry, parse_binding_file
from bridge.workflow.binding_text import write_binding
from bridge.workflow.convert import convert_workflow
from bridge.workflow.library import BINDING_FILE, WORKFLOW_FILE
from bridge.workflow.names import label_of, workflow_name_problem
from bridge.workflow.object_info import ObjectInfo
from bridge.workflow.packs import NO_PACKS, NodePacks
from bridge.workflow.parameters import make_parameter
from bridge.workflow.proposal import LeftOut, Proposal, Proposed, place_words
from bridge.workflow.propose import propose
from bridge.workflow.rebind import is_same_workflow, rebind
from bridge.workflow.targets import Target, target_of
from bridge.workflow.template import Graph, parse_template
from bridge.workflow.ui_format import is_ui_format
from bridge.workflow.workflow import Place, Workflow


@dataclass(frozen=True, slots=True)
class BoundFile:
    """What came of it.

    Attributes:
        workflow_json, binding_toml: the two files.
        workflow: what they load as.
        proposal: each choice with its reason, what was left out, what is gone since the earlier time.
        is_converted: whether the file was in UI format; `dropped` are its nodes that aren't in the prompt.
        kept, added: names carried over from the earlier binding, and names that are new; both () without one.
        is_same: False where the earlier files are of another workflow altogether.
    """

    workflow_json: bytes
    binding_toml: bytes
    workflow: Workflow
    proposal: Proposal
    is_converted: bool
    dropped: tuple[str, ...]
    kept: tuple[str, ...]
    added: tuple[str, ...]
    is_same: bool


def bind_workflow(
    name: str,
    data: bytes,
    object_info: ObjectInfo,
    before: Mapping[str, bytes] | None = None,
    packs: NodePacks = NO_PACKS,
) -> BoundFile:
    """Make the two files of the workflow `name` from an export in API or UI format.

    Args:
        before: the files that stand in its folder now, by name.

    Raises:
        WorkflowError: a bad name, a file that can't be read or converted, an earlier binding that can't be read, or a
            graph that makes no workflow, e.g. without an image output. `problems` has one line each.
    """
    problem = workflow_name_problem(name)
    if problem:
        raise WorkflowError(problem)
    hints: dict[Place, str] = {}
    dropped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    is_converted = is_ui_format(data)
    if is_converted:
        conversion = convert_workflow(data, object_info, packs)
        data = conversion.to_json()
        hints, dropped, notes = dict(conversion.titles), conversion.left_out, conversion.notes
    graph = parse_template(data)
    fresh = _usable(propose(graph, object_info, hints), graph, object_info)
    proposal, is_same = fresh, True
    kept: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    old = _old_graph(before or {})
    if old is not None:
        text = (before or {}).get(BINDING_FILE)
        file = parse_binding_file(text) if text is not None else BindingFile()
        rebinding = rebind(fresh, graph, old, file, object_info)
        is_same = is_same_workflow(old, graph, rebinding)
        if text is not None:
            proposal, kept, added = rebinding.proposal, rebinding.kept, rebinding.added
    proposal = replace(proposal, notes=(*notes, *proposal.notes))
    toml = write_binding(proposal, label_of(name)).encode()
    workflow = load_workflow(name, data, toml, object_info)
    toml = write_binding(proposal, label_of(name), workflow.spec).encode()  # the same, with ranges as remarks
    return BoundFile(data, toml, workflow, proposal, is_converted, dropped, kept, added, is_same)


def _old_graph(before: Mapping[str, bytes]) -> Graph | None:
    """The graph that stood there; None if there was none, or one that can't be read and so says nothing."""
    if WORKFLOW_FILE not in before:
        return None
    try:
        return parse_template(before[WORKFLOW_FILE])
    except WorkflowError:
        return None


def _usable(proposal: Proposal, graph: Graph, object_info: ObjectInfo) -> Proposal:
    """The proposal without what can't be a parameter as the graph stands, e.g. a value outside its node's range."""
    good: list[Proposed] = []
    left: list[LeftOut] = list(proposal.left_out)
    for each in proposal.parameters:
        reason = _problem(each, graph, object_info) if each.origin == "proposed" else ""
        if not reason:
            good.append(each)
            continue
        for place in each.places:
            node = graph.nodes[place[0]]
            left.append(LeftOut(place, place_words(node, place[1]), node.inputs.get(place[1]), reason))
    return replace(proposal, parameters=tuple(good), left_out=tuple(left))


def _problem(each: Proposed, graph: Graph, object_info: ObjectInfo) -> str:
    problems: list[str] = []
    found = [target_of(graph.nodes[node_id], name, object_info, "", problems) for node_id, name in each.places]
    targets: tuple[Target, ...] = tuple(target for target in found if target is not None)
    entry = _entry(each)
    if not problems:
        make_parameter(each.name, targets, "", entry, problems)
    return problems[0].partition(": ")[2] or problems[0] if problems else ""


def _entry(each: Proposed) -> ParameterEntry:
    """The parameter as binding.toml would have it."""
    text = write_binding(Proposal((each,), None, None, (), ()), "x")
    return parse_binding_file(text.encode()).parameters.get(each.name, ParameterEntry(each.name))
