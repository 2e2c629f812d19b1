"""Publishing: gate, signature, registry, in that order, for one artifact at a time."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

from npukbuild.publish.gate import pass_gate
from npukbuild.publish.release import ReleaseId, make_release, verify_release

if TYPE_CHECKING:
    from npukbuild.publish.keys import PublicKey, SigningKey
    from npukbuild.publish.registry import Registry
    from npukbuild.smoke.artifact import ArtifactFolder


@dataclass(frozen=True)
class Published:
    """What became of one artifact."""

    id: ReleaseId
    channel: str
    new: bool
    device: str


def publish_artifact(
    artifact: ArtifactFolder,
    registry: Registry,
    *,
    channel: str,
    key: SigningKey,
    version: str | None = None,
) -> Published:
    """Release ``artifact`` into ``channel`` of ``registry``.

    The same bytes give the same version, so publishing twice changes nothing. Nothing is written before the
    gate has passed and the finished release has been verified with its own key.

    Raises:
        GateRefusedError: The artifact has no passing verdict for exactly these bytes.
        RegistryError: The registry cannot be written, or holds other bytes under this version.
    """
    from npukbuild.errors import RegistryError
    from npukbuild.publish.keys import PublicKey

    verdict = pass_gate(artifact, channel)
    published = dt.datetime.now(dt.UTC).replace(microsecond=0).isoformat()
    release = make_release(artifact, verdict, channel=channel, key=key, published=published, version=version)
    own: dict[str, PublicKey] = {key.id: PublicKey(key.name, key.key.public_key(), own=True)}
    verify_release(release, own)
    new = registry.put(release)
    if not new and version is not None and not _same_product(registry, release.id, release.files):
        raise RegistryError(
            f"{release.id} is there already with other bytes",
            where=registry.location,
            hint="versions are never overwritten: choose another --version, or leave it out",
        )
    return Published(release.id, channel, new, verdict["device"])


def _same_product(registry: Registry, release_id: ReleaseId, files: object) -> bool:
    from npukbuild.publish.release import PRODUCT_FILES

    assert isinstance(files, dict)
    there = registry.get(release_id).files
    return all(there.get(name) == files.get(name) for name in PRODUCT_FILES)
