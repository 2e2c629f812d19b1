"""Releases are refused unless checked, and every tampered byte is noticed."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

import pytest

from npukbuild.errors import GateRefusedError, RegistryError, ReleaseMissingError, SignatureError
from npukbuild.publish.keys import create_key, known_keys, load_signing_key, trust_key
from npukbuild.publish.publisher import publish_artifact
from npukbuild.publish.registry import FolderRegistry, open_registry
from npukbuild.publish.release import ATTESTATION, Release, verify_release

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from npukbuild.publish.keys import SigningKey
    from npukbuild.smoke.artifact import ArtifactFolder

    Make = Callable[..., ArtifactFolder]


@pytest.fixture
def registry(tmp_path: Path) -> FolderRegistry:
    return FolderRegistry(tmp_path / "registry", create=True)


def test_publish_list_get_verify(make_artifact: Make, registry: FolderRegistry, key: SigningKey) -> None:
    artifact = make_artifact()
    done = publish_artifact(artifact, registry, channel="candidate", key=key)
    assert done.new
    assert registry.ids() == [done.id]
    release = registry.get(done.id)
    statement, signer = verify_release(release, known_keys())
    assert signer.id == key.id
    assert statement["predicate"]["release"]["verified_on"] == "simulator"
    rebuild = statement["predicate"]["buildDefinition"]["internalParameters"]["rebuild"]
    assert rebuild.startswith("npukbuild matmul --m 64 --k 64 --n 512")
    assert release.files["design.mlir"] == (artifact.path / "design.mlir").read_bytes()


def test_publishing_twice_changes_nothing(
    make_artifact: Make, registry: FolderRegistry, key: SigningKey
) -> None:
    artifact = make_artifact()
    first = publish_artifact(artifact, registry, channel="candidate", key=key)
    before = registry.get(first.id).files
    second = publish_artifact(artifact, registry, channel="candidate", key=key)
    assert (second.id, second.new) == (first.id, False)
    assert registry.get(first.id).files == before


def test_a_version_is_never_overwritten(
    make_artifact: Make, registry: FolderRegistry, key: SigningKey
) -> None:
    artifact = make_artifact()
    done = publish_artifact(artifact, registry, channel="candidate", key=key, version="1.0")
    before = registry.get(done.id).files
    other = make_artifact()
    (other.path / "kernel.cc").write_text("// other\n")
    _recheck(other)
    with pytest.raises(RegistryError, match="other bytes"):
        publish_artifact(other, registry, channel="candidate", key=key, version="1.0")
    assert registry.get(done.id).files == before


def _recheck(artifact: ArtifactFolder, **changes: object) -> None:
    from npukbuild.smoke.verdict import hash_subject

    path = artifact.path / "verdict.json"
    verdict = json.loads(path.read_text()) | {"subject": hash_subject(artifact.path)} | changes
    path.write_text(json.dumps(verdict))
    manifest = artifact.manifest
    manifest["files"] = hash_subject(artifact.path, tuple(manifest["files"]))
    (artifact.path / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("options", "channel", "reason"),
    [
        ({"status": "failed"}, "candidate", "its check failed"),
        ({}, "stable", "needs a check on the NPU"),
        ({"xclbin": True}, "stable", "needs a check on the NPU"),
        ({"device": "npu"}, "stable", "needs an XCLBIN"),
    ],
)
def test_the_gate_refuses(
    make_artifact: Make, registry: FolderRegistry, key: SigningKey, options: dict[str, object], channel: str,
    reason: str,
) -> None:  # fmt: skip
    with pytest.raises(GateRefusedError) as caught:
        publish_artifact(make_artifact(**options), registry, channel=channel, key=key)
    assert reason in str(caught.value)
    assert registry.ids() == []


def test_stable_takes_an_npu_verdict(make_artifact: Make, registry: FolderRegistry, key: SigningKey) -> None:
    artifact = make_artifact(device="npu", xclbin=True)
    assert publish_artifact(artifact, registry, channel="stable", key=key).channel == "stable"


def test_an_emulator_is_no_npu(make_artifact: Make, registry: FolderRegistry, key: SigningKey) -> None:
    artifact = make_artifact(device="npu", xclbin=True)
    _recheck(artifact, environment={"emulator": "xdna-emu"})
    with pytest.raises(GateRefusedError, match="may not be published") as caught:
        publish_artifact(artifact, registry, channel="stable", key=key)
    assert "ran on xdna-emu" in str(caught.value)


@pytest.mark.parametrize("name", ["design.mlir", "kernel.cc", "kernel.xclbin", "insts.bin"])
def test_a_byte_changed_after_the_check_is_refused(
    make_artifact: Make, registry: FolderRegistry, key: SigningKey, name: str
) -> None:
    artifact = make_artifact(xclbin=True)
    path = artifact.path / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(GateRefusedError, match="may not be published") as caught:
        publish_artifact(artifact, registry, channel="candidate", key=key)
    assert f"{name} changed after the check" in str(caught.value)


def test_a_verdict_for_another_target_is_refused(
    make_artifact: Make, registry: FolderRegistry, key: SigningKey
) -> None:
    artifact = make_artifact()
    _recheck(artifact, target="npu2")
    with pytest.raises(GateRefusedError, match="may not be published"):
        publish_artifact(artifact, registry, channel="candidate", key=key)


def test_what_was_edited_after_the_build_is_refused_even_when_checked_again(
    make_artifact: Make, registry: FolderRegistry, key: SigningKey
) -> None:
    from npukbuild.smoke.verdict import hash_subject

    artifact = make_artifact()
    (artifact.path / "kernel.cc").write_text("// other\n")
    path = artifact.path / "verdict.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"subject": hash_subject(artifact.path)}))
    with pytest.raises(GateRefusedError, match=r"may not be published"):
        publish_artifact(artifact, registry, channel="candidate", key=key)


def test_an_xclbin_added_after_the_check_is_refused(
    make_artifact: Make, registry: FolderRegistry, key: SigningKey
) -> None:
    artifact = make_artifact()
    (artifact.path / "kernel.xclbin").write_bytes(b"not checked")
    with pytest.raises(GateRefusedError):
        publish_artifact(artifact, registry, channel="candidate", key=key)


def test_any_changed_byte_of_a_release_is_noticed(
    make_artifact: Make, registry: FolderRegistry, key: SigningKey
) -> None:
    release = registry.get(
        publish_artifact(make_artifact(xclbin=True), registry, channel="candidate", key=key).id
    )
    keys = known_keys()
    verify_release(release, keys)
    chance = random.Random(7)
    refused = 0
    for name, data in release.files.items():
        for _ in range(40):
            changed = bytearray(data)
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
            with pytest.raises(SignatureError):
                verify_release(
                    Release(release.id, release.channel, {**release.files, name: bytes(changed)}), keys
                )
            refused += 1
    assert refused == 40 * len(release.files)


@pytest.mark.parametrize("name", ["kernel.cc", "verdict.json", ATTESTATION])
def test_a_missing_file_is_noticed(
    make_artifact: Make, registry: FolderRegistry, key: SigningKey, name: str
) -> None:
    release = registry.get(publish_artifact(make_artifact(), registry, channel="candidate", key=key).id)
    files = {other: data for other, data in release.files.items() if other != name}
    with pytest.raises(SignatureError):
        verify_release(Release(release.id, release.channel, files), known_keys())


def test_a_release_cannot_be_passed_off_as_another(
    make_artifact: Make, registry: FolderRegistry, key: SigningKey
) -> None:
    first = registry.get(publish_artifact(make_artifact(), registry, channel="candidate", key=key).id)
    other = registry.get(publish_artifact(make_artifact(m=128), registry, channel="candidate", key=key).id)
    with pytest.raises(SignatureError):
        verify_release(Release(other.id, other.channel, first.files), known_keys())
    with pytest.raises(SignatureError):
        verify_release(Release(first.id, "stable", first.files), known_keys())


def test_an_untrusted_signer_is_refused_until_trusted(
    make_artifact: Make, registry: FolderRegistry, keys_dir: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "other-keys"
    stranger = create_key("stranger", elsewhere)
    release = registry.get(publish_artifact(make_artifact(), registry, channel="candidate", key=stranger).id)
    with pytest.raises(SignatureError, match="not trusted"):
        verify_release(release, known_keys())
    trust_key(elsewhere / "stranger.pub")
    assert verify_release(release, known_keys())[1].id == stranger.id


def test_signatures_agree_with_securesystemslib(
    make_artifact: Make, registry: FolderRegistry, key: SigningKey
) -> None:
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer._key import SSlibKey

    release = registry.get(publish_artifact(make_artifact(), registry, channel="candidate", key=key).id)
    envelope = Envelope.from_dict(json.loads(release.files[ATTESTATION]))
    theirs = SSlibKey.from_crypto(key.key.public_key(), keyid=key.id)
    assert envelope.verify([theirs], 1)


def test_foreign_files_and_links_in_an_entry_are_refused(
    make_artifact: Make, registry: FolderRegistry, key: SigningKey, tmp_path: Path
) -> None:
    done = publish_artifact(make_artifact(), registry, channel="candidate", key=key)
    place = tmp_path / "registry" / done.id.target / done.id.name / done.id.version
    (place / "extra.so").write_bytes(b"x")
    with pytest.raises(RegistryError, match=r"extra\.so"):
        registry.get(done.id)


def test_removal_and_missing_releases(make_artifact: Make, registry: FolderRegistry, key: SigningKey) -> None:
    done = publish_artifact(make_artifact(), registry, channel="candidate", key=key)
    registry.remove(done.id)
    assert registry.ids() == []
    with pytest.raises(ReleaseMissingError):
        registry.get(done.id)


def test_keys_are_private_and_never_overwritten(keys_dir: Path) -> None:
    from npukbuild.errors import RequestError

    create_key("mine")
    assert (keys_dir / "mine.key").stat().st_mode & 0o777 == 0o600
    with pytest.raises(RequestError, match="exists already"):
        create_key("mine")
    with pytest.raises(RequestError):
        create_key("../evil")
    assert load_signing_key(None).name == "mine"
    create_key("second")
    with pytest.raises(SignatureError, match="several"):
        load_signing_key(None)


def test_no_registry_and_no_key_are_said(tmp_path: Path, keys_dir: Path) -> None:
    with pytest.raises(RegistryError, match="no registry"):
        open_registry(str(tmp_path / "nowhere"))
    with pytest.raises(SignatureError, match="no signing key"):
        load_signing_key(None)


def test_a_simulated_candidate_takes_along_only_the_xclbin_that_was_built(
    make_artifact: Make, registry: FolderRegistry, key: SigningKey
) -> None:
    """The simulator runs design and kernel, not the XCLBIN: its verdict names only those two."""
    artifact = make_artifact(xclbin=True)
    verdict = json.loads((artifact.path / "verdict.json").read_text())
    verdict["subject"] = {name: verdict["subject"][name] for name in ("design.mlir", "kernel.cc")}
    (artifact.path / "verdict.json").write_text(json.dumps(verdict))
    manifest = json.loads((artifact.path / "manifest.json").read_text())
    unknown = {name: digest for name, digest in manifest["files"].items() if name != "kernel.xclbin"}
    artifact.manifest["files"] = unknown
    with pytest.raises(GateRefusedError, match="may not be published") as caught:
        publish_artifact(artifact, registry, channel="candidate", key=key)
    assert "kernel.xclbin was not part of the check" in str(caught.value)
    from npukbuild.smoke.artifact import open_artifact
    from npukbuild.smoke.verdict import hash_subject

    manifest["files"] |= hash_subject(artifact.path)
    (artifact.path / "manifest.json").write_text(json.dumps(manifest))
    built = open_artifact(artifact.path)
    with pytest.raises(GateRefusedError):
        publish_artifact(built, registry, channel="stable", key=key)
    assert publish_artifact(built, registry, channel="candidate", key=key).new
