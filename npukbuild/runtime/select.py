"""Finding releases in a registry, and the nearest ones when none fits."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from npukbuild.engine.families import family_named
from npukbuild.errors import InputError, RegistryError, ReleaseMissingError
from npukbuild.publish.keys import known_keys
from npukbuild.publish.registry import open_registry
from npukbuild.publish.release import verify_release
from npukbuild.runtime.loaded import LoadedKernel

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from npukbuild.publish.registry import Registry
    from npukbuild.publish.release import Release

DEFAULT_REGISTRY = "build/registry"
log = logging.getLogger("npukbuild.runtime")
_SIZES = ("m", "k", "n")


def load(
    family: str,
    *,
    target: str = "npu1",
    registry: str = DEFAULT_REGISTRY,
    device: str = "auto",
    channel: str | None = None,
    **parameters: Any,
) -> LoadedKernel:
    """Return the newest release of exactly this kernel, verified, as a function.

    Args:
        family: For example ``matmul``.
        target: The array it was built for.
        registry: A folder or ``oci://`` address.
        device: ``auto``, ``npu`` or ``simulator``.
        channel: Only this channel; by default stable is preferred to candidate.
        parameters: ``m``, ``k``, ``n``, ``dtype``, ``out_dtype``, ``b_layout``, ``shift``. One that is not
            given may be anything, as long as the releases that fit are all of one problem or one of them is
            the family's default.

    Raises:
        InputError: Releases of several problems fit, and none is the default.
        ReleaseMissingError: None fits; the nearest are listed.
        SignatureError: The release does not verify.
    """
    place = open_registry(registry)
    releases = list(releases_of(place, family, target, channel))
    fitting = [release for release in releases if _fits(release, parameters)]
    if not fitting:
        raise _missing(family, target, registry, parameters, releases)
    chosen = best_of(_of_one_problem(fitting, family, parameters))
    verify_release(chosen, known_keys())
    return LoadedKernel(chosen, device=device)


def releases_of(
    registry: Registry, family: str, target: str, channel: str | None = None
) -> Iterable[Release]:
    """Yield the releases of ``family`` for ``target``, unverified; unreadable ones are logged and skipped."""
    for release_id in registry.ids():
        if release_id.target != target or not release_id.name.startswith(f"{family}_"):
            continue
        try:
            release = registry.get(release_id)
            fits = channel in (None, release.channel) and release.manifest["request"].get("family") == family
            problem_of(release)
        except (RegistryError, ReleaseMissingError, KeyError) as error:
            log.warning("release %s is skipped: %s", release_id, error)
            continue
        if fits:
            yield release


def best_of(releases: Sequence[Release]) -> Release:
    """Return the release of several equal ones that is used: stable before candidate, then the newest."""
    return max(releases, key=lambda release: (release.channel == "stable", _published(release), release.id))


def _of_one_problem(fitting: Sequence[Release], family: str, parameters: dict[str, Any]) -> list[Release]:
    problems = {str(problem_of(release)) for release in fitting}
    if len(problems) == 1:
        return list(fitting)
    defaults = {
        field.name: field.default for field in family_named(family).fields if field.default is not None
    }
    defaults |= parameters
    wanted = [
        release
        for release in fitting
        if all(problem_of(release).get(name) == value for name, value in defaults.items())
    ]
    problems = {str(problem_of(release)) for release in wanted}
    if len(problems) > 1 and "out_dtype" not in parameters:
        # The family's default result type is that of the inputs.
        wanted = [r for r in wanted if problem_of(r).get("out_dtype") == problem_of(r).get("dtype")]
        problems = {str(problem_of(release)) for release in wanted}
    if len(problems) == 1:
        return wanted
    raise InputError(
        f"releases of several {family} problems fit",
        details=sorted({str(release.id) for release in fitting})[:10],
        hint="say more: dtype=, out_dtype=, b_layout=, shift=",
    )


def problem_of(release: Release) -> dict[str, Any]:
    """Return the problem a release solves, every parameter spelled out."""
    return dict(release.json("plan.json")["problem"])


def _fits(release: Release, parameters: dict[str, Any]) -> bool:
    problem = problem_of(release)
    return all(problem.get(name) == value for name, value in parameters.items())


def _published(release: Release) -> str:
    from npukbuild.publish.dsse import signed_payload
    from npukbuild.publish.release import ATTESTATION

    metadata = signed_payload(release.files[ATTESTATION])["predicate"]["runDetails"]["metadata"]
    return str(metadata["finishedOn"])


def _missing(
    family: str, target: str, registry: str, parameters: dict[str, Any], releases: list[Release]
) -> ReleaseMissingError:
    def distance(release: Release) -> float:
        problem = problem_of(release)
        sizes = [abs(int(problem[s]) - int(parameters.get(s, problem[s]))) / int(problem[s]) for s in _SIZES]
        others = [name for name in parameters if name not in _SIZES and problem.get(name) != parameters[name]]
        return sum(sizes) + 100 * len(others)

    nearest = sorted(releases, key=distance)[:5]
    asked = ", ".join(f"{name}={value}" for name, value in parameters.items())
    sizes = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in parameters.items())
    return ReleaseMissingError(
        f"no release of {family} for {target} with {asked}",
        where=registry,
        why="the nearest are listed below" if nearest else "the registry has none for this target",
        details=[str(release.id) for release in nearest],
        hint=f"npukbuild {family} {sizes} --target {target}, then npukbuild publish",
    )
