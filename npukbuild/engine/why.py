"""Why a kernel was built, or would be built now, in one line."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from npukbuild.engine.action import FileInput, OutputOf, full_key
from npukbuild.engine.digest import digest_bytes
from npukbuild.engine.kernel_graph import KernelGraph, KernelRequest
from npukbuild.engine.key import key_of
from npukbuild.engine.lookup import Lookup
from npukbuild.engine.progress import duration
from npukbuild.engine.records import Record, describe, keep_tool_files, read_record, record_path, why_rebuilt
from npukbuild.engine.session import open_session
from npukbuild.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from npukbuild.engine.graph import Node


@dataclass(frozen=True, slots=True)
class Answer:
    """Why: ``would`` is the reason of a build now, or empty when nothing would be built."""

    kernel: str
    status: str
    because: str
    seconds_ago: float
    would: str

    def line(self) -> str:
        """Return the answer in one line."""
        then = {"built": "built", "hit": "not built, since", "failed": "failed; it was tried because"}[
            self.status
        ]
        ago = f"{duration(self.seconds_ago)} ago"
        past = (
            f"{then} {ago} because {self.because}"
            if self.status == "built"
            else f"{then} {self.because} ({ago})"
        )
        if self.would:
            return f"{self.kernel}: would be built now: {self.would} (last {past})"
        return f"{self.kernel}: up to date; {past}"

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "kernel": self.kernel,
            "last": self.status,
            "because": self.because,
            "seconds_ago": round(self.seconds_ago, 1),
            "would_build": bool(self.would),
            "would_build_because": self.would or None,
        }


def explain(build_dir: Path, kernel: str, check: str, *, cache_dir: Path | None = None) -> Answer:
    """Return why ``kernel`` was or would be built.

    Args:
        build_dir: The build folder.
        kernel: A kernel's name, ``TARGET/NAME``, or its artifact folder.
        check: ``module:function`` of the numeric check.
        cache_dir: The local cache; None takes the usual one.

    Raises:
        RequestError: No such kernel was built in ``build_dir``, or several were.
    """
    group = find_group(build_dir, kernel)
    record = read_record(build_dir, group)
    if record is None:
        raise RequestError(f"the record of {group} cannot be read", hint="build it once more")
    would = _would(build_dir, record, check, cache_dir)
    return Answer(group, record.status, record.because, max(0.0, time.time() - record.when), would)


def find_group(build_dir: Path, kernel: str) -> str:
    """Return ``TARGET/NAME`` of a kernel that was built in ``build_dir``.

    Raises:
        RequestError: None, or more than one, has that name.
    """
    records = record_path(build_dir, "x").parent
    known = sorted(str(path.relative_to(records))[: -len(".json")] for path in records.glob("*/*.json"))
    wanted = kernel.rstrip("/").removeprefix(f"{build_dir}/")
    found = [group for group in known if wanted in (group, group.partition("/")[2])]
    if len(found) == 1:
        return found[0]
    if found:
        raise RequestError(f"{kernel} was built for several targets", details=found, hint="name one of these")
    from difflib import get_close_matches

    close = get_close_matches(wanted, [*known, *(group.partition("/")[2] for group in known)], n=3)
    raise RequestError(
        f"no kernel {kernel} was built in {build_dir}",
        details=close,
        hint="name a kernel as in npu1/matmul_bf16_64x64x512; --build-dir chooses another folder",
    )


def _would(build_dir: Path, record: Record, check: str, cache_dir: Path | None) -> str:
    """Follow the kernel's actions until one has no result that is valid now."""
    render = record.actions.get("render")
    if render is None:
        return "its last build did not get far enough to tell"
    request = render["base"]["parameters"]["request"]
    with open_session(cache_dir=cache_dir) as session:
        from npukbuild.engine.toolchain_step import find_maker

        maker, _ = find_maker(session.digests, session.identities, required=False)
        family = KernelGraph(session.identities, session.digests, check, maker)
        lookup = Lookup(session.store, session.digests, family.roots())
        outputs: dict[str, Mapping[str, Any]] = {}
        for node in family.nodes(KernelRequest.of(request)):
            keep_tool_files(build_dir, node.action.tools)
            base = node.action.base(_digests(node, outputs))
            base_key = key_of(base)
            match = lookup.local(base_key, discovers=bool(node.action.depfile))
            if match is None:
                before = record.actions.get(node.action.kind)
                found = lookup.states(sorted(before["found"])) if before else {}
                now = describe(node, base, found, full_key(base_key, found))
                return why_rebuilt(build_dir, before, now, kind=node.action.kind)
            outputs[node.name] = match.outputs
    return ""


def _digests(node: Node, outputs: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    digests: dict[str, str] = {}
    for name, source in node.action.inputs.items():
        if isinstance(source, OutputOf):
            record = outputs[source.node][source.name].record
            digests[name] = record.digest + ("x" if record.executable else "")
        elif not isinstance(source, FileInput):
            digests[name] = digest_bytes(source.content)
    return digests
