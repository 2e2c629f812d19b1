"""The gate: what may be released, and to which channel.

Nothing passes without a passing verdict that names exactly the bytes which are to be released, and those must
be the ones that the build left: what was edited or put there by hand has no provenance. The stable
channel needs a verdict of the NPU, on the target the kernel was built for, and an XCLBIN; the candidate
channel takes the simulator's word and says so.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from npukbuild.errors import GateRefusedError
from npukbuild.smoke.verdict import BUILT_FILES, hash_subject

if TYPE_CHECKING:
    from collections.abc import Mapping

    from npukbuild.smoke.artifact import ArtifactFolder


def read_verdict(artifact: ArtifactFolder) -> dict[str, Any]:
    """Return verdict.json of ``artifact``.

    Raises:
        GateRefusedError: There is none or it is damaged.
    """
    try:
        verdict: dict[str, Any] = json.loads((artifact.path / "verdict.json").read_text(encoding="utf-8"))
        return {key: verdict[key] for key in _NEEDED} | verdict
    except FileNotFoundError:
        raise GateRefusedError(
            f"{artifact.name} has no verdict", hint=f"npukbuild smoke {artifact.path}"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GateRefusedError(
            f"the verdict of {artifact.name} is damaged",
            why=str(error),
            hint=f"npukbuild smoke {artifact.path}",
        ) from error


def refusals(artifact: ArtifactFolder, verdict: Mapping[str, Any], channel: str) -> list[str]:
    """Return every reason why ``artifact`` may not go to ``channel``; empty when it may."""
    found = []
    if verdict["status"] != "passed":
        found.append(f"its check {verdict['status']} on the {verdict['device']}")
    if verdict["target"] != artifact.target:
        found.append(f"its check ran for {verdict['target']}, it was built for {artifact.target}")
    present = hash_subject(artifact.path)
    checked = dict(verdict["subject"])
    for name in sorted({*present, *checked}):
        if name not in checked:
            if not _built_from_checked(artifact, name, present, verdict, channel):
                found.append(f"{name} was not part of the check")
        elif name not in present:
            found.append(f"{name} was checked and is missing")
        elif present[name] != checked[name]:
            found.append(f"{name} changed after the check")
    if not present:
        found.append("it has no design, kernel or XCLBIN")
    built = artifact.manifest["files"]
    changed = {*artifact.changed_files(), *(name for name in present if name not in built)}
    if changed:
        found.append(f"not as the build left it: {', '.join(sorted(changed))}")
    if channel == "stable":
        if verdict["device"] != "npu":
            found.append(
                f"the stable channel needs a check on the NPU, this one ran on the {verdict['device']}"
            )
        if emulator := verdict.get("environment", {}).get("emulator"):
            found.append(f"the stable channel needs a check on the NPU, this one ran on {emulator}")
        if "kernel.xclbin" not in present:
            found.append("the stable channel needs an XCLBIN, and none was built")
    return found


def _built_from_checked(
    artifact: ArtifactFolder, name: str, present: Mapping[str, str], verdict: Mapping[str, Any], channel: str
) -> bool:
    """Say whether a file that the simulator cannot run may go along to the candidate channel.

    It may when it is the very one that the build made of the checked design and kernel.
    """
    return (
        channel == "candidate"
        and verdict["device"] == "simulator"
        and name in BUILT_FILES
        and artifact.manifest["files"].get(name) == present[name]
    )


def pass_gate(artifact: ArtifactFolder, channel: str) -> dict[str, Any]:
    """Return the verdict that lets ``artifact`` into ``channel``.

    Raises:
        GateRefusedError: With all reasons.
    """
    verdict = read_verdict(artifact)
    reasons = refusals(artifact, verdict, channel)
    if reasons:
        hint = f"npukbuild smoke {artifact.path}"
        if channel == "stable" and verdict["device"] != "npu":
            hint += " --device npu, on a machine with that NPU; or publish with --channel candidate"
        raise GateRefusedError(
            f"{artifact.name} may not be published to {channel}",
            why=reasons[0] if len(reasons) == 1 else f"for {len(reasons)} reasons",
            details=reasons if len(reasons) > 1 else (),
            hint=hint,
        )
    return verdict


_NEEDED = ("status", "device", "target", "max_error", "bound", "subject")
