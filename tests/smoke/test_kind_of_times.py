"""Only an NPU's times are called measured."""

from __future__ import annotations

import pytest

from npukbuild.smoke.statistics import kind_of_times


@pytest.mark.parametrize(
    ("device", "emulator", "kind"),
    [
        ("npu", "", "measured"),
        ("npu", "1", "emulated"),
        ("simulator", "", "simulated"),
        ("simulator", "1", "simulated"),
    ],
)
def test_what_times_are_called(
    monkeypatch: pytest.MonkeyPatch, device: str, emulator: str, kind: str
) -> None:
    monkeypatch.setenv("XDNA_EMU", emulator)
    assert kind_of_times(device) == kind
