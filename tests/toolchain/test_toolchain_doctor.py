"""The doctor on made-up machines: healthy, and each thing broken in turn."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from npukbuild.cli import cli
from npukbuild.cli.doctor import _show
from npukbuild.toolchain.aiecc import CoreLimits
from npukbuild.toolchain.checks import Check, failed, passed, warned
from npukbuild.toolchain.doctor import Report, check_disk, check_host, examine
from npukbuild.toolchain.doctor_device import DeviceChecks
from npukbuild.toolchain.lock import read_lock
from npukbuild.toolchain.platforms import HostPlatform
from tests.standins.fake_machine import EXAMINE, make_machine
from tests.standins.layout import make_install, make_xclbinutil

LIMITS = CoreLimits(program_bytes=16384, data_bytes=65536, default_stack=1024)


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NPUKBUILD_HOME", str(tmp_path / "home"))
    for name in ("NPUKBUILD_XCLBINUTIL", "NPUKBUILD_MLIR_AIE", "NPUKBUILD_PEANO", "NPUKBUILD_TOOLCHAIN_LOCK"):
        monkeypatch.delenv(name, raising=False)


def check(tmp_path: Path, *, install: Path | None = None, **options: Any) -> dict[str, Check]:
    machine = make_machine(tmp_path / "root", **options)
    return examined(machine, install or make_install(tmp_path / "env"))


def examined(machine: Any, install: Path | None) -> dict[str, Check]:
    report = examine(machine, lock=read_lock(), limits=LIMITS, mlir_aie=install)
    return {each.name: each for each in report.checks}


def device(tmp_path: Path, name: str, **options: Any) -> Check:
    """One check of the run's side, alone."""
    checks = DeviceChecks(make_machine(tmp_path / "root", **options))
    return getattr(checks, name)()  # type: ignore[no-any-return]


def test_a_healthy_machine_passes(tmp_path: Path) -> None:
    checks = check(tmp_path)
    # The device itself is opened on the real machine only.
    assert {name: c.says for name, c in checks.items() if c.state != "pass"} == {
        "device opens": "not tried: it needs the device node and pyxrt"
    }
    assert checks["NPU"].says == "NPU Phoenix or Hawk Point (target npu1)"
    assert checks["driver"].says == "amdxdna 2.21.0, a command may run 2 s"
    assert checks["firmware"].says == "1502_00/npu.sbin.zst"
    assert checks["XRT"].says == "XRT 2.21.75, NPU Phoenix, firmware 1.5.5.391"
    assert checks["pyxrt"].says.endswith("for Python 3.12")
    assert checks["Peano"].says.startswith("compiled and linked a small core")
    assert checks["aiecc"].says.startswith("built a small design (9465 bytes)")
    assert "version 2.21" in checks["xclbinutil"].says


def remove(machine_root: Path, path: str) -> None:
    target = machine_root / path
    if target.is_dir():
        shutil.rmtree(target)
    else:
        target.unlink()


@pytest.mark.parametrize(
    ("path", "name", "words", "fix"),
    [
        ("sys/module/amdxdna", "driver", "amdxdna is not loaded", "modprobe amdxdna"),
        (
            "lib/firmware/amdnpu",
            "firmware",
            "there is no /lib/firmware/amdnpu/1502_00/npu.sbin",
            "linux-firmware",
        ),
        ("dev/accel", "device node", "there is no /dev/accel/accel*", "load the driver"),
        ("usr/bin/xrt-smi", "XRT", "xrt-smi was not found", "libxrt-npu2"),
        ("usr/lib/python3", "pyxrt", "pyxrt was not found", "--runner-python"),
        ("usr/bin/python3.12", "pyxrt", "for Python 3.12, and that Python is not here", "--runner-python"),
    ],
)
def test_what_is_missing_is_named_with_its_fix(
    tmp_path: Path, path: str, name: str, words: str, fix: str
) -> None:
    machine = make_machine(tmp_path / "root")
    remove(tmp_path / "root", path)
    method = {"device node": "node"}.get(name, name.lower())
    found = getattr(DeviceChecks(machine), method)()
    assert found.state == "fail"
    assert words in found.says
    assert fix in (found.fix or "")


def test_without_an_npu_the_rest_only_warns(tmp_path: Path) -> None:
    machine = make_machine(tmp_path / "root")
    for path in ("sys/bus/pci", "sys/module/amdxdna", "dev/accel", "usr/bin/xrt-smi", "usr/lib/python3"):
        remove(tmp_path / "root", path)
    checks = examined(machine, None)
    assert {c.state for c in checks.values()} == {"pass", "warn"}
    assert checks["NPU"].says == "none in this machine: kernels run on the simulator only"
    assert (checks["driver"].fix or "").startswith("only with an NPU: ")


def test_a_user_outside_the_render_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: "accel0" not in str(path) and real(path, mode))
    found = device(tmp_path, "node")
    assert (found.state, found.says) == ("fail", "this user may not open /dev/accel/accel0")
    assert "usermod -aG render" in (found.fix or "")


@pytest.mark.parametrize(
    ("limit", "state", "words"),
    [
        (-1, "pass", "unlimited"),
        (8 << 20, "fail", "8 MB; the driver's heap alone takes 64 MB"),
        (64 << 20, "fail", "64 MB"),
        (4 << 30, "warn", "4096 MB; large buffers may not fit"),
    ],
)
def test_the_memory_limit(tmp_path: Path, limit: int, state: str, words: str) -> None:
    found = device(tmp_path, "memlock", memlock=limit)
    assert found.state == state
    assert words in found.says


def test_both_spellings_of_the_drivers_time_limit(tmp_path: Path) -> None:
    machine = make_machine(tmp_path / "root")
    parameters = tmp_path / "root/sys/module/amdxdna/parameters"
    (parameters / "timeout_in_sec").unlink()
    (parameters / "tdr_timeout_ms").write_text("0\n")
    (tmp_path / "root/sys/module/amdxdna/version").unlink()
    found = DeviceChecks(machine).driver()
    assert found.says == "amdxdna of the kernel, no time limit for a command"


def test_an_old_kernel_gets_another_fix(tmp_path: Path) -> None:
    machine = make_machine(tmp_path / "root", kernel="6.8.0-40-generic")
    remove(tmp_path / "root", "sys/module/amdxdna")
    assert "use kernel 6.10 or newer" in (DeviceChecks(machine).driver().fix or "")


def test_gorgon_and_strix_are_npu2(tmp_path: Path) -> None:
    machine = make_machine(tmp_path / "root")
    pci = tmp_path / "root/sys/bus/pci/devices/0000:c6:00.1"
    (pci / "device").write_text("0x17f0\n")
    (pci / "revision").write_text("0x20\n")
    checks = DeviceChecks(machine)
    assert "(target npu2)" in checks.npu().says
    assert "17f0_20/npu.sbin" in checks.firmware().says


def variant(**device: Any) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(json.dumps(EXAMINE))
    value["system"]["host"]["devices"][0].update(device)
    return value


@pytest.mark.parametrize(
    ("report", "state", "words"),
    [
        (
            {"system": {"host": {"xrt": {"version": "2.20"}, "devices": []}}},
            "fail",
            "XRT 2.20 sees no device",
        ),
        (variant(is_ready="false"), "fail", "NPU Phoenix is not ready"),
        (variant()["system"], "pass", "XRT 2.21.75, NPU Phoenix"),
        ([1, 2], "fail", "gave no report"),
        ({"system": 3}, "fail", "sees no device"),
    ],
)
def test_what_xrt_smi_reports(tmp_path: Path, report: Any, state: str, words: str) -> None:
    found = device(tmp_path, "xrt", report=report)
    assert found.state == state, found
    assert words in found.says


@pytest.mark.parametrize("profile", ["low-power", "balanced", "quiet"])
def test_the_power_profile(tmp_path: Path, profile: str) -> None:
    machine = make_machine(tmp_path / "root")
    (tmp_path / "root/sys/firmware/acpi/platform_profile").write_text(profile)
    found = DeviceChecks(machine).power()
    assert found.state == "warn"
    assert profile in found.says


# ---- tools ---------------------------------------------------------------------------------------


def test_debians_xclbinutil_is_seen_through(tmp_path: Path) -> None:
    """It exits 0; what it says, and the design that it does not pack, give it away."""
    install = make_install(tmp_path / "env", xclbinutil=None)
    machine = make_machine(tmp_path / "root")
    make_xclbinutil(tmp_path / "root" / "usr/bin/xclbinutil", kind="debian")
    found = examined(machine, install)["xclbinutil"]
    assert found.state == "fail"
    assert "Could not find executable" in found.says
    assert "ends with code 0" in found.says
    assert "NPUKBUILD_XCLBINUTIL" in (found.fix or "")


def test_an_xclbinutil_that_lies_about_its_version_is_found_by_the_design(tmp_path: Path) -> None:
    install = make_install(tmp_path / "env", "cpp", xclbinutil=None)
    liar = install / "bin" / "xclbinutil"
    liar.write_text("#!/bin/sh\necho 2.21.75\n")
    liar.chmod(0o755)
    checks = check(tmp_path, install=install)
    assert checks["xclbinutil"].state == "pass"
    assert checks["aiecc"].state == "fail"
    assert "probe.xclbin was not written" in checks["aiecc"].says


def test_no_xclbinutil(tmp_path: Path) -> None:
    checks = check(tmp_path, install=make_install(tmp_path / "env", xclbinutil=None))
    assert checks["xclbinutil"].state == "warn"
    assert checks["aiecc"].state == "fail"


def test_no_toolchain_warns_and_says_how_to_get_it(tmp_path: Path) -> None:
    checks = examined(make_machine(tmp_path / "root"), None)
    assert checks["toolchain"].fix == "npukbuild toolchain install"
    assert {checks[name].state for name in ("toolchain", "Peano", "aiecc")} == {"warn"}


def test_a_peano_that_cannot_compile(tmp_path: Path) -> None:
    install = make_install(tmp_path / "env")
    clang = install.parent / "llvm-aie" / "bin" / "clang++"
    clang.write_text(
        "#!/bin/sh\necho 'clang++: error while loading shared libraries: libz.so.1' >&2\nexit 127\n"
    )
    found = check(tmp_path, install=install)["Peano"]
    assert found.state == "fail"
    assert "ended with exit code 127" in found.says


def test_a_link_that_only_our_script_breaks_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("npukbuild.toolchain.doctor_tools.PROBE", _probe_without_link(tmp_path))
    from npukbuild.toolchain import doctor_tools

    monkeypatch.setattr(
        doctor_tools.ToolChecks, "_link", lambda self, work, toolchain: "ld.lld: error: no crt0.o"
    )
    found = check(tmp_path)["Peano"]
    assert found.state == "warn"
    assert found.says == "compiles, and cannot link a core: ld.lld: error: no crt0.o; aiecc's own link works"


def _probe_without_link(tmp_path: Path) -> Path:
    from npukbuild.toolchain.doctor_tools import PROBE

    return Path(shutil.copytree(PROBE, tmp_path / "probe"))


def test_the_dataclasses_backport_is_a_warning(tmp_path: Path) -> None:
    install = make_install(tmp_path / "env")
    (install.parent / "dataclasses-0.6.dist-info").mkdir()
    found = check(tmp_path, install=install)["toolchain"]
    assert found.state == "warn"
    assert "uninstall dataclasses" in (found.fix or "")


def test_the_probe_design_is_one_that_simulates() -> None:
    """Our own reader, lowering and account accept the doctor's design."""
    from npukbuild.ir import load_design, take_account
    from npukbuild.toolchain.doctor_tools import PROBE

    design = load_design((PROBE / "design.mlir").read_text())
    assert not take_account(design).violations


def test_a_check_that_breaks_does_not_end_the_round(tmp_path: Path) -> None:
    def broken() -> Check:
        raise RuntimeError("oh")

    machine = make_machine(tmp_path / "root")
    report = examine(machine, lock=read_lock(), limits=LIMITS, after=[("last", broken)])
    assert report.checks[-1].state == "fail"
    assert "RuntimeError" in report.checks[-1].says


@pytest.mark.parametrize(
    ("host", "state"),
    [
        (HostPlatform(name="linux-x86_64", glibc=(2, 39)), "pass"),
        (HostPlatform(name="linux-x86_64", glibc=(2, 31)), "warn"),
        (HostPlatform(name="linux-x86_64", glibc=None), "warn"),
        (HostPlatform(name="macos-aarch64", glibc=None), "warn"),
    ],
)
def test_hosts(host: HostPlatform, state: str) -> None:
    assert check_host(host, read_lock()).state == state


def test_little_disk_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_disk([tmp_path / "not" / "yet"]).state in ("pass", "warn")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10**9))
    found = check_disk([tmp_path])
    assert (found.state, "1.0 GB" in found.says) == ("warn", True)


# ---- report --------------------------------------------------------------------------------------


def test_the_first_thing_to_do_is_the_first_failure() -> None:
    report = Report(
        checks=(
            passed("a", "x"),
            warned("b", "x", "fix b"),
            failed("c", "x", "fix c"),
            failed("d", "x", "fix d"),
        )
    )
    assert report.worst == "fail"
    assert report.as_dict()["first"] == {"name": "c", "fix": "fix c"}
    assert Report(checks=(passed("a", "x"), warned("b", "x", "fix b"))).as_dict()["first"]["name"] == "b"
    assert Report(checks=(passed("a", "x"),)).first is None


def test_a_narrow_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    _show(
        Report(
            checks=(warned("memlock", "the limit is 8 MB; the driver's heap alone takes 64 MB", "raise it"),)
        )
    )
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 42 for line in lines)
    assert lines[-1] == "first: raise it"


def test_what_is_well_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    _show(Report(checks=(passed("aiecc", "built a small design"),)))
    assert capsys.readouterr().out.splitlines() == [
        "pass  aiecc         built a small design",
        "",
        "all is well",
    ]


def test_doctor_on_the_command_line(tmp_path: Path) -> None:
    install = make_install(tmp_path / "env")
    result = CliRunner().invoke(cli, ["doctor", "--json", "--mlir-aie", str(install)])
    value = json.loads(result.stdout)
    names = [each["name"] for each in value["checks"]]
    assert names[:3] == ["platform", "compiler", "uv"]
    assert names[-2:] == ["disk", "cache"]
    assert next(each for each in value["checks"] if each["name"] == "aiecc")["state"] == "pass"
