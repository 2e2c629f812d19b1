"""What a release states about itself: an in-toto statement with SLSA v1 provenance.

The subjects are all files of the release with their sha256; the predicate names the request, the tools by
hash, the verdict, and the command that rebuilds it.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:npukbuild:kernel:v1"

_SOURCES = ("design.mlir", "kernel.cc", "plan.json")


def make_statement(
    *,
    files: Mapping[str, str],
    manifest: Mapping[str, Any],
    verdict: Mapping[str, Any],
    channel: str,
    version: str,
    published: str,
) -> dict[str, Any]:
    """Return the statement that is signed.

    Args:
        files: File name -> sha256 (hex) of every file of the release.
        manifest: The artifact's manifest.
        verdict: The verdict it passed the gate with.
        channel: ``stable`` or ``candidate``.
        version: Version of the release.
        published: UTC time in ISO 8601.
    """
    producer = dict(manifest["producer"])
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in sorted(files.items())],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": dict(manifest["request"]),
                "internalParameters": {"rebuild": rebuild_command(manifest["request"])},
                "resolvedDependencies": _dependencies(producer, files),
            },
            "runDetails": {
                "builder": {"id": BUILD_TYPE, "version": {"npukbuild": producer["npukbuild"]}},
                "metadata": {"finishedOn": published},
                "byproducts": [
                    {
                        "name": "verdict",
                        "annotations": {
                            "status": verdict["status"],
                            "device": verdict["device"],
                            "target": verdict["target"],
                            "max_error": verdict["max_error"],
                            "bound": verdict["bound"],
                        },
                    }
                ],
            },
            "release": {
                "name": manifest["name"],
                "target": manifest["target"],
                "version": version,
                "channel": channel,
                "verified_on": verdict["device"],
            },
        },
    }


def rebuild_command(request: Mapping[str, Any]) -> str:
    """Return the command line that builds a request again."""
    words = ["npukbuild", str(request["family"])]
    for name, value in request.items():
        if name == "family" or value is None:
            continue
        text = "x".join(str(part) for part in value) if isinstance(value, (list, tuple)) else str(value)
        words += [f"--{name.replace('_', '-')}", text]
    return shlex.join(words)


def _dependencies(producer: Mapping[str, Any], files: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return what the product was made from: its sources, and the toolchain by content where one was used."""
    found: list[dict[str, Any]] = [
        {"name": name, "digest": {"sha256": files[name]}} for name in _SOURCES if name in files
    ]
    if toolchain := producer.get("toolchain"):
        about = {key: value for key, value in sorted(toolchain.items()) if key != "identity"}
        found.append({"name": "toolchain", "digest": {"sha256": toolchain["identity"]}, "annotations": about})
    return found
