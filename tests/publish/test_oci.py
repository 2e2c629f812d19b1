"""Releases in a real OCI registry on the loopback."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from npukbuild.errors import RegistryError, ReleaseMissingError
from npukbuild.publish.keys import known_keys
from npukbuild.publish.publisher import publish_artifact
from npukbuild.publish.registry import open_registry
from npukbuild.publish.release import ReleaseId, verify_release

if TYPE_CHECKING:
    from collections.abc import Callable

    from npukbuild.publish.keys import SigningKey
    from npukbuild.smoke.artifact import ArtifactFolder


def test_round_trip(make_artifact: Callable[..., ArtifactFolder], key: SigningKey, oci_location: str) -> None:
    registry = open_registry(oci_location)
    assert registry.ids() == []
    artifact = make_artifact(xclbin=True)
    done = publish_artifact(artifact, registry, channel="candidate", key=key)
    again = publish_artifact(artifact, registry, channel="candidate", key=key)
    other = publish_artifact(make_artifact(m=128), registry, channel="candidate", key=key)
    assert (done.new, again.new, other.new) == (True, False, True)
    assert registry.ids() == sorted([done.id, other.id])
    release = registry.get(done.id)
    verify_release(release, known_keys())
    assert release.files["kernel.xclbin"] == (artifact.path / "kernel.xclbin").read_bytes()
    registry.remove(other.id)
    assert registry.ids() == [done.id]
    with pytest.raises(ReleaseMissingError):
        registry.get(ReleaseId("npu1", "nothing", "1"))


def test_a_dead_registry_is_said(
    make_artifact: Callable[..., ArtifactFolder], key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with pytest.raises(RegistryError, match="cannot be used"):
        publish_artifact(make_artifact(), open_registry("oci://127.0.0.1:9/x"), channel="candidate", key=key)


@pytest.mark.parametrize("location", ["oci://host", "oci:///x", "oci://host/Upper"])
def test_a_wrong_address_is_said(location: str) -> None:
    with pytest.raises(RegistryError, match="not an OCI repository"):
        open_registry(location)
