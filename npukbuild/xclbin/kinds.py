"""Numbers of the container format and their names.

Source of every number: the public header ``xrt/detail/xclbin.h`` of Xilinx/XRT.
"""

from __future__ import annotations

BITSTREAM = 0
EMBEDDED_METADATA = 2
MEM_TOPOLOGY = 6
CONNECTIVITY = 7
IP_LAYOUT = 8
BUILD_METADATA = 14
KEYVALUE_METADATA = 15
USER_METADATA = 16
PDI = 18
GROUP_TOPOLOGY = 26
GROUP_CONNECTIVITY = 27
AIE_PARTITION = 32

SECTION_NAMES: dict[int, str] = {
    0: "BITSTREAM",
    1: "CLEARING_BITSTREAM",
    2: "EMBEDDED_METADATA",
    3: "FIRMWARE",
    4: "DEBUG_DATA",
    5: "SCHED_FIRMWARE",
    6: "MEM_TOPOLOGY",
    7: "CONNECTIVITY",
    8: "IP_LAYOUT",
    9: "DEBUG_IP_LAYOUT",
    10: "DESIGN_CHECK_POINT",
    11: "CLOCK_FREQ_TOPOLOGY",
    12: "MCS",
    13: "BMC",
    14: "BUILD_METADATA",
    15: "KEYVALUE_METADATA",
    16: "USER_METADATA",
    17: "DNA_CERTIFICATE",
    18: "PDI",
    19: "BITSTREAM_PARTIAL_PDI",
    20: "PARTITION_METADATA",
    21: "EMULATION_DATA",
    22: "SYSTEM_METADATA",
    23: "SOFT_KERNEL",
    24: "ASK_FLASH",
    25: "AIE_METADATA",
    26: "GROUP_TOPOLOGY",
    27: "GROUP_CONNECTIVITY",
    28: "SMARTNIC",
    29: "AIE_RESOURCES",
    30: "OVERLAY",
    31: "VENDER_METADATA",
    32: "AIE_PARTITION",
    33: "IP_METADATA",
    34: "AIE_RESOURCES_BIN",
    35: "AIE_TRACE_METADATA",
}

MODE_NAMES = ("flat", "pr", "tandem-stage2", "tandem-stage2-pr", "hw-emu", "sw-emu", "hw-emu-pr")

MEM_TYPES = (
    "DDR3", "DDR4", "DRAM", "STREAMING", "PREALLOCATED_GLOB", "ARE", "HBM", "BRAM", "URAM",
    "STREAMING_CONNECTION", "HOST", "PS_KERNEL",
)  # fmt: skip

IP_TYPES = (
    "IP_MB", "IP_KERNEL", "IP_DNASC", "IP_DDR4_CONTROLLER", "IP_MEM_DDR4", "IP_MEM_HBM", "IP_MEM_HBM_ECC",
    "IP_PS_KERNEL",
)  # fmt: skip

IP_PS_KERNEL = 7
PS_SUBTYPES = ("PS", "DPU")
PS_FUNCTIONALS = ("DPU", "PREPOST")
CDO_TYPES = ("unknown", "PRIMARY", "LITE", "PREPOST")


def section_name(kind: int) -> str:
    """Return the name of a section kind, or ``KIND_<n>`` for one that the header does not list."""
    return SECTION_NAMES.get(kind, f"KIND_{kind}")


def name_of(names: tuple[str, ...], value: int) -> str:
    """Return ``names[value]``, or the number itself where no name is known."""
    return names[value] if 0 <= value < len(names) else str(value)
