"""From a kernel's results to its artifact folder, which appears whole or not at all."""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING, Any

from npukbuild import __version__
from npukbuild.engine.execute import LOG, WORK
from npukbuild.engine.folder import locked, staged

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from npukbuild.engine.digest import FileDigests
    from npukbuild.engine.graph import Node
    from npukbuild.engine.kernel_graph import KernelRequest
    from npukbuild.engine.outcome import Outcome

TOP_FILES = ("design.mlir", "kernel.cc", "plan.json", "verdict.json", "kernel.xclbin", "insts.bin")
LOG_FILES = ("account.json", "host-compile.log", "xclbin.json")
STEPS_FILE = "logs/steps.json"


def artifact_folder(build_dir: Path, group: str) -> Path:
    """Return the folder of a kernel's artifact: ``<build_dir>/<target>/<kernel name>``."""
    return build_dir.joinpath(*group.split("/"))


def failed_folder(place: Path) -> Path:
    """Return where the evidence of a failed build of ``place`` is kept."""
    return place.with_name(f"{place.name}.failed")


def install(
    place: Path,
    kernel: KernelRequest,
    nodes: Iterable[Node],
    outcomes: Mapping[str, Outcome],
    digests: FileDigests,
) -> dict[str, str]:
    """Make ``place`` hold the results of ``kernel``; return path -> SHA-256 of its files.

    A folder that holds exactly them already is left alone.
    """
    contents = artifact_contents(kernel, nodes, outcomes)
    wanted = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    if not holds(place, wanted, digests):
        with locked(place), staged(place) as folder:
            for name, data in contents.items():
                path = folder / name
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(data)
    shutil.rmtree(failed_folder(place), ignore_errors=True)
    # The times of the steps are a log of one build, not a part of the result.
    return {str(place / name): digest for name, digest in wanted.items() if name != STEPS_FILE}


def artifact_contents(
    kernel: KernelRequest, nodes: Iterable[Node], outcomes: Mapping[str, Outcome]
) -> dict[str, bytes]:
    """Return name -> content of every file of an artifact."""
    made: dict[str, bytes] = {}
    seconds: dict[str, float] = {}
    for node in nodes:
        outcome = outcomes[node.name]
        seconds[node.action.kind] = round(outcome.seconds, 4)
        for name, blob in outcome.outputs.items():
            made[name] = blob.path.read_bytes()
    contents = {name: made[name] for name in TOP_FILES if name in made}
    about = json.loads(made["kernel.json"])
    manifest = {
        **about,
        "request": dict(kernel.request),
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()},
        "producer": {"npukbuild": __version__, "toolchain": _toolchain(made)},
    }
    contents["manifest.json"] = _json(manifest)
    contents.update({f"logs/{name}": made[name] for name in LOG_FILES if name in made})
    contents[STEPS_FILE] = _json(seconds)
    return contents


def _toolchain(made: Mapping[str, bytes]) -> Any:
    return json.loads(made["xclbin.json"])["toolchain"] if "xclbin.json" in made else None


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()


def holds(place: Path, wanted: Mapping[str, str], digests: FileDigests) -> bool:
    """Say whether ``place`` has exactly the wanted files with their contents, not counting the times."""
    if not place.is_dir():
        return False
    there = {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()}
    if there != set(wanted):
        return False
    return all(digests.state(place / name) == digest for name, digest in wanted.items() if name != STEPS_FILE)


def keep_evidence(place: Path, outcome: Outcome, kind: str) -> Path | None:
    """Move a failed action's work folder to ``<place>.failed`` and return that, or None without one.

    What the action had to work with and what it wrote lie there, with its log beside.
    """
    if outcome.folder is None or not outcome.folder.is_dir():
        return None
    evidence = failed_folder(place)
    try:
        shutil.rmtree(evidence, ignore_errors=True)
        evidence.mkdir(parents=True, exist_ok=True)
        if (outcome.folder / WORK).is_dir():
            shutil.copytree(outcome.folder / WORK, evidence, dirs_exist_ok=True)
        if (outcome.folder / LOG).is_file():
            shutil.copyfile(outcome.folder / LOG, evidence / f"{kind}.log")
        shutil.rmtree(outcome.folder, ignore_errors=True)
    except OSError:
        return outcome.folder
    return evidence
