"""What the last build of each kernel was made of, kept to say why the next one is needed."""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from npukbuild.engine.digest import ABSENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from npukbuild.engine.action import Tool
    from npukbuild.engine.graph import Node
    from npukbuild.engine.outcome import Outcome

FOLDER = ".npukbuild"


@dataclass(frozen=True, slots=True)
class Record:
    """The last build of one kernel.

    Attributes:
        when: Seconds since 1970.
        status: ``built``, ``hit`` or ``failed``.
        because: Why it was built, or what it was a hit of.
        actions: Kind -> what the action was made of.
    """

    when: float
    status: str
    because: str
    actions: Mapping[str, Mapping[str, Any]]


def record_path(build_dir: Path, group: str) -> Path:
    """Return where the record of a kernel lies."""
    return build_dir / FOLDER / "records" / f"{group}.json"


def read_record(build_dir: Path, group: str) -> Record | None:
    """Return the record of a kernel, or None when it has none that can be read."""
    try:
        data = json.loads(record_path(build_dir, group).read_text(encoding="utf-8"))
        return Record(float(data["when"]), str(data["status"]), str(data["because"]), dict(data["actions"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_record(build_dir: Path, group: str, record: Record) -> None:
    """Write the record of a kernel; a failure costs only an explanation."""
    path = record_path(build_dir, group)
    data = {
        "when": record.when,
        "status": record.status,
        "because": record.because,
        "actions": record.actions,
    }
    with contextlib.suppress(OSError):
        _write(path, json.dumps(data))


def keep_tool_files(build_dir: Path, tools: Iterable[Tool]) -> None:
    """Remember which files each tool's identity was taken of, so that a change can be named."""
    for tool in tools:
        path = build_dir / FOLDER / "tools" / tool.identity
        with contextlib.suppress(OSError):
            if not path.exists():
                _write(path, json.dumps(dict(tool.files)))


def tool_files(build_dir: Path, identity: str) -> dict[str, str]:
    """Return path -> digest of a tool's files, empty when it is not remembered."""
    try:
        data = json.loads((build_dir / FOLDER / "tools" / identity).read_text(encoding="utf-8"))
        return {str(name): str(digest) for name, digest in data.items()}
    except (OSError, ValueError, AttributeError):
        return {}


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def describe(node: Node, base: Mapping[str, Any], found: Mapping[str, str], key: str) -> dict[str, Any]:
    """Return what a record keeps of one action."""
    return {
        "key": key,
        "base": plain(base),
        "found": dict(found),
        "versions": {tool.name: tool.version for tool in node.action.tools},
    }


def plain(value: Any) -> Any:
    """Return a value as it comes back from JSON, with lists for tuples."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def make_record(
    build_dir: Path, nodes: Iterable[Node], outcomes: Mapping[str, Outcome], old: Record | None
) -> Record:
    """Return the record of a finished kernel, with the reason of its build."""
    actions: dict[str, Any] = {}
    status, because = "hit", ""
    sources = set()
    for node in nodes:
        outcome = outcomes[node.name]
        if outcome.status == "skipped":
            continue
        actions[node.action.kind] = describe(node, outcome.base, outcome.found, outcome.key)
        if outcome.status == "hit":
            sources.add(outcome.source)
            continue
        if status == "hit":
            before = old.actions.get(node.action.kind) if old else None
            because = why_rebuilt(build_dir, before, actions[node.action.kind], kind=node.action.kind)
        status = "failed" if "failed" in (status, outcome.status) else "built"
    if status == "hit":
        because = "the shared cache had it" if "shared" in sources else "the cache had it"
    return Record(time.time(), status, because, actions)


def why_rebuilt(
    build_dir: Path, before: Mapping[str, Any] | None, now: Mapping[str, Any], *, kind: str
) -> str:
    """Return the difference between two descriptions of one action, in words."""
    if before is None:
        return "it was not built here before"
    reasons = [
        *_tools(build_dir, before, now),
        *_values("the request", before["base"].get("parameters"), now["base"].get("parameters")),
        *_values("the environment", before["base"].get("environment"), now["base"].get("environment")),
        *_found(before["found"], now["found"]),
        *_inputs(before["base"].get("inputs", {}), now["base"].get("inputs", {})),
    ]
    if not reasons and before["base"].get("command") != now["base"].get("command"):
        reasons.append(f"the command line of {kind} changed")
    if not reasons:
        if before["base"] != now["base"]:
            return f"npukbuild itself describes {kind} in another way"
        return f"the cache no longer had the result of {kind}"
    return "; ".join(reasons[:3]) + (f"; {len(reasons) - 3} more changes" if len(reasons) > 3 else "")


def _tools(build_dir: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    reasons = []
    old_ids, new_ids = before["base"].get("tools", {}), now["base"].get("tools", {})
    for name in sorted({*old_ids, *new_ids}):
        if old_ids.get(name) == new_ids.get(name):
            continue
        old, new = before["versions"].get(name, ""), now["versions"].get(name, "")
        if name not in old_ids or name not in new_ids:
            reasons.append(f"{name} {'is not used any more' if name in old_ids else 'is used now'}")
        elif old != new:
            reasons.append(f"{name} {old or 'unknown'} -> {new or 'unknown'}")
        else:
            files = _changed_files(tool_files(build_dir, old_ids[name]), tool_files(build_dir, new_ids[name]))
            reasons.append(files or f"{name} {new} changed".replace("  ", " "))
    return reasons


def _changed_files(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    if not before or not now:
        return ""
    changed = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
    if not changed:
        return ""
    from npukbuild.engine.identity import PACKAGE

    shown = os.path.relpath(changed[0], PACKAGE.parent)
    shown = changed[0] if shown.startswith("..") else shown
    return f"{shown} changed" + (f" and {len(changed) - 1} more files" if len(changed) > 1 else "")


def _values(what: str, before: Any, now: Any) -> list[str]:
    if before == now:
        return []
    if isinstance(before, dict) and isinstance(now, dict):
        inner: list[str] = []
        for name in sorted({*before, *now}):
            old, new = before.get(name), now.get(name)
            if isinstance(old, dict) and isinstance(new, dict):
                inner.extend(_values(what, old, new))
            elif old != new:
                inner.append(f"{name} {_shown(old)} -> {_shown(new)}")
        return inner
    return [f"{what} changed"]


def _shown(value: Any) -> str:
    return "none" if value is None else str(value)


def _found(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    reasons = []
    for name in sorted({*before, *now}):
        old, new = before.get(name), now.get(name)
        if old is None or new is None or old == new:
            continue  # read only this time or last time: a consequence of another change
        plain = plain_name(name)
        if old == ABSENT:
            hidden = [
                plain_name(other) for other in before if _same_header(other, name) and before[other] != ABSENT
            ]
            reasons.append(f"{plain} appeared" + (f" and hides {hidden[0]}" if hidden else ""))
        elif new == ABSENT:
            reasons.append(f"{plain} was removed")
        else:
            reasons.append(f"{plain} changed")
    return reasons


def _same_header(one: str, other: str) -> bool:
    return one != other and os.path.basename(one) == os.path.basename(other)


def _inputs(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return [f"{name} changed" for name in sorted({*before, *now}) if before.get(name) != now.get(name)]


def plain_name(name: str) -> str:
    """Return a name as a person writes it: ``{kernels_src}/x.hpp`` as ``kernels_src/x.hpp``."""
    root, brace, rest = name.partition("}")
    if not brace or not root.startswith("{"):
        return name
    return rest.lstrip("/") if root.startswith("{system") else root[1:] + rest
