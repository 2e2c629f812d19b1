"""A release: the files of one kernel with a signed statement about every byte of them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from npukbuild.errors import RegistryError, SignatureError
from npukbuild.publish.dsse import open_envelope, sign
from npukbuild.publish.provenance import PREDICATE_TYPE, STATEMENT_TYPE, make_statement

if TYPE_CHECKING:
    from collections.abc import Mapping

    from npukbuild.publish.keys import PublicKey, SigningKey
    from npukbuild.smoke.artifact import ArtifactFolder

ATTESTATION = "attestation.dsse.json"
RELEASED_FILES = (
    "kernel.xclbin", "insts.bin", "design.mlir", "kernel.cc", "plan.json", "manifest.json", "verdict.json",
)  # fmt: skip
PRODUCT_FILES = ("kernel.xclbin", "insts.bin", "design.mlir", "kernel.cc")


@dataclass(frozen=True, order=True)
class ReleaseId:
    """Where a release stands in a registry: target, kernel name, version."""

    target: str
    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.target}/{self.name}@{self.version}"

    @staticmethod
    def parse(text: str) -> ReleaseId | None:
        """Read ``TARGET/NAME@VERSION``."""
        target, slash, rest = text.partition("/")
        name, at, version = rest.partition("@")
        return ReleaseId(target, name, version) if slash and at and target and name and version else None


@dataclass(frozen=True)
class Release:
    """The files of a release by name, the attestation among them."""

    id: ReleaseId
    channel: str
    files: Mapping[str, bytes] = field(repr=False)

    def json(self, name: str) -> dict[str, Any]:
        """Return one of its JSON files.

        Raises:
            RegistryError: It is missing or damaged.
        """
        try:
            data = json.loads(self.files[name])
        except (KeyError, ValueError) as error:
            raise RegistryError(
                f"{self.id} has no readable {name}", why=f"{type(error).__name__}: {error}"
            ) from error
        if not isinstance(data, dict):
            raise RegistryError(f"{self.id} has no readable {name}", why="it is not a JSON object")
        return data

    @property
    def manifest(self) -> dict[str, Any]:
        """The artifact's manifest."""
        return self.json("manifest.json")


def product_version(files: Mapping[str, bytes], abi: Mapping[str, Any], channel: str) -> str:
    """Return the version that the bytes give: 12 hex digits over product files, ABI and channel."""
    digest = hashlib.sha256(json.dumps([abi, channel], sort_keys=True).encode())
    for name in PRODUCT_FILES:
        if name in files:
            digest.update(f"\n{name} {hashlib.sha256(files[name]).hexdigest()}".encode())
    return digest.hexdigest()[:12]


def make_release(
    artifact: ArtifactFolder,
    verdict: Mapping[str, Any],
    *,
    channel: str,
    key: SigningKey,
    published: str,
    version: str | None = None,
) -> Release:
    """Collect, state and sign; the bytes are those the gate has just seen, or the signature is refused.

    Raises:
        SignatureError: A file changed between the gate and the signature.
    """
    files = {
        name: (artifact.path / name).read_bytes()
        for name in RELEASED_FILES
        if (artifact.path / name).is_file()
    }
    for name, digest in verdict["subject"].items():
        if hashlib.sha256(files.get(name, b"")).hexdigest() != digest:
            raise SignatureError(f"{name} changed while it was being published", where=str(artifact.path))
    version = version or product_version(files, artifact.manifest["abi"], channel)
    statement = make_statement(
        files={name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
        manifest=artifact.manifest,
        verdict=verdict,
        channel=channel,
        version=version,
        published=published,
    )
    files[ATTESTATION] = sign(json.dumps(statement, sort_keys=True).encode(), key)
    return Release(ReleaseId(artifact.target, artifact.name, version), channel, files)


def verify_release(release: Release, keys: Mapping[str, PublicKey]) -> tuple[dict[str, Any], PublicKey]:
    """Check signature, every file's hash, and that the statement speaks of this release and nothing else.

    Returns:
        The signed statement and the key that signed it.

    Raises:
        SignatureError: Anything does not hold; all of it is in ``details``.
    """
    if ATTESTATION not in release.files:
        raise SignatureError(f"{release.id} has no attestation")
    statement, key = open_envelope(release.files[ATTESTATION], keys)
    faults = _statement_faults(release, statement)
    if faults:
        raise SignatureError(
            f"{release.id} is not what was signed",
            why=faults[0] if len(faults) == 1 else f"{len(faults)} faults",
            details=faults if len(faults) > 1 else (),
            hint="do not load it; fetch it again or publish it again from its sources",
        )
    return statement, key


def _statement_faults(release: Release, statement: Mapping[str, Any]) -> list[str]:
    faults = []
    try:
        if statement["_type"] != STATEMENT_TYPE or statement["predicateType"] != PREDICATE_TYPE:
            faults.append("the statement is of another type")
        signed = {entry["name"]: entry["digest"]["sha256"] for entry in statement["subject"]}
        about = statement["predicate"]["release"]
        said = (about["target"], about["name"], about["version"], about["channel"])
    except (KeyError, TypeError) as error:
        return [f"the statement lacks {error}"]
    here = (release.id.target, release.id.name, release.id.version, release.channel)
    if said != here:
        faults.append(f"the statement is about {said}, this is {here}")
    present = {name: data for name, data in release.files.items() if name != ATTESTATION}
    for name in sorted({*signed, *present}):
        if name not in signed:
            faults.append(f"{name} was not signed")
        elif name not in present:
            faults.append(f"{name} is missing")
        elif hashlib.sha256(present[name]).hexdigest() != signed[name]:
            faults.append(f"{name} was changed")
    return faults
