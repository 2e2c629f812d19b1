"""Releases in an OCI registry: one repository, one tag per release, one layer per file.

The tag is ``TARGET--NAME--VERSION``. Blobs go up first and the manifest last, so a release is there whole or
not at all; a tag that exists is left alone.
"""

from __future__ import annotations

import hashlib
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from npukbuild.errors import RegistryError, ReleaseMissingError
from npukbuild.publish.registry import LARGEST_FILE, channel_of
from npukbuild.publish.release import ATTESTATION, RELEASED_FILES, Release, ReleaseId

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oras.provider import Registry as OrasRegistry

ARTIFACT_TYPE = "application/vnd.npukbuild.release.v1"
_LAYER_TYPE = "application/vnd.npukbuild.file.v1"
_CONFIG_TYPE = "application/vnd.oci.empty.v1+json"
_TITLE = "org.opencontainers.image.title"
_SEPARATOR = "--"
_CREATED = (200, 201, 202)


class OciRegistry:
    """Releases behind ``oci://HOST[:PORT]/REPOSITORY`` (plain HTTP on the loopback, HTTPS elsewhere)."""

    def __init__(self, location: str) -> None:
        host, slash, repository = location.removeprefix("oci://").partition("/")
        if not host or not slash or not repository or repository != repository.lower():
            raise RegistryError(
                f"{location!r} is not an OCI repository",
                why="it is written oci://HOST[:PORT]/REPOSITORY, in lower case",
            )
        self._host, self._repository = host, repository.strip("/")
        self._loopback = host.partition(":")[0] in ("localhost", "127.0.0.1", "[")

    @property
    def location(self) -> str:
        """The address."""
        return f"oci://{self._host}/{self._repository}"

    def put(self, release: Release) -> bool:
        """Upload the files, then the manifest under the release's tag."""
        tag = _tag(release.id)
        if tag in self._tags():
            return False
        with self._session() as session, tempfile.TemporaryDirectory(prefix="npukbuild-oci-") as work:
            container = session.get_container(f"{self._host}/{self._repository}:{tag}")
            layers = [
                self._upload(session, container, Path(work) / name, name, data)
                for name, data in sorted(release.files.items())
            ]
            config = self._upload(session, container, Path(work) / "config", "", b"{}")
            manifest = {
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "artifactType": ARTIFACT_TYPE,
                "config": {**config, "mediaType": _CONFIG_TYPE},
                "layers": layers,
                "annotations": {"channel": release.channel, "release": str(release.id)},
            }
            self._accept(session.upload_manifest(manifest, container), f"manifest of {release.id}")
        return True

    def ids(self) -> list[ReleaseId]:
        """Return the releases that the tags name."""
        found = []
        for tag in self._tags():
            parts = tag.split(_SEPARATOR)
            if len(parts) == 3:
                found.append(ReleaseId(*parts))
        return sorted(found)

    def get(self, release_id: ReleaseId) -> Release:
        """Download one release; every file is checked against the digest in the manifest."""
        tag = _tag(release_id)
        if tag not in self._tags():
            raise ReleaseMissingError(f"{release_id} is not in the registry", where=self.location)
        files: dict[str, bytes] = {}
        with self._session() as session:
            container = session.get_container(f"{self._host}/{self._repository}:{tag}")
            manifest: dict[str, Any] = session.get_manifest(container)
            for layer in manifest.get("layers", []):
                name = layer.get("annotations", {}).get(_TITLE)
                if name not in (*RELEASED_FILES, ATTESTATION) or layer["size"] > LARGEST_FILE:
                    raise RegistryError(
                        f"{release_id} holds {name!r}, which no release has", where=self.location
                    )
                response = session.get_blob(container, layer["digest"])
                self._accept(response, f"{name} of {release_id}")
                data = bytes(response.content)
                if f"sha256:{hashlib.sha256(data).hexdigest()}" != layer["digest"]:
                    raise RegistryError(f"{name} of {release_id} arrived damaged", where=self.location)
                files[name] = data
        return Release(release_id, channel_of(files, release_id), files)

    def remove(self, release_id: ReleaseId) -> None:
        """Delete the release's manifest (the registry must allow deletion)."""
        with self._session() as session:
            container = session.get_container(f"{self._host}/{self._repository}:{_tag(release_id)}")
            session.delete_tag(container, _tag(release_id))

    def _tags(self) -> list[str]:
        with self._session() as session:
            container = session.get_container(f"{self._host}/{self._repository}")
            url = f"{session.prefix}://{container.tags_url(N=None)}"
            if session.do_request(url).status_code == 404:
                return []  # A repository begins to exist with its first manifest.
            return [str(tag) for tag in session.get_tags(container)]

    def _upload(
        self, session: OrasRegistry, container: Any, path: Path, name: str, data: bytes
    ) -> dict[str, Any]:
        path.write_bytes(data)
        layer: dict[str, Any] = {
            "mediaType": _LAYER_TYPE,
            "size": len(data),
            "digest": f"sha256:{hashlib.sha256(data).hexdigest()}",
        }
        if name:
            layer["annotations"] = {_TITLE: name}
        self._accept(session.upload_blob(str(path), container, layer), name or "config")
        return layer

    def _accept(self, response: Any, what: str) -> None:
        if response.status_code not in _CREATED:
            raise RegistryError(
                f"the registry refused the {what}",
                where=self.location,
                why=f"HTTP {response.status_code}: {response.text[:200]}",
            )

    @contextmanager
    def _session(self) -> Iterator[OrasRegistry]:
        """Give an ORAS session; whatever goes wrong in it leaves as a RegistryError."""
        try:
            from oras.provider import Registry
        except ImportError:
            raise RegistryError(
                "OCI registries need the oras package", hint="pip install 'npukbuild[oci]'"
            ) from None
        from requests.exceptions import RequestException

        session = Registry(hostname=self._host, insecure=self._loopback, auth_backend="basic")
        try:
            yield session
        except (RequestException, ValueError, RuntimeError) as error:
            raise RegistryError(
                "the registry cannot be used",
                where=self.location,
                why=str(error)[:300],
                hint="check the address, the network and your login (docker or oras login)",
            ) from error
        finally:
            session.session.close()


def _tag(release_id: ReleaseId) -> str:
    tag = _SEPARATOR.join((release_id.target, release_id.name, release_id.version))
    plain = all(character.isalnum() or character in "_.-" for character in tag)
    if (
        not plain
        or len(tag) > 128
        or any(_SEPARATOR in part for part in (release_id.name, release_id.version))
    ):
        raise RegistryError(
            f"{release_id} cannot be a tag", why="letters, digits, '_', '.', '-', 128 at most"
        )
    return tag
