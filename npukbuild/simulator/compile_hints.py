"""What to do about the mistakes that kernels of AIE cores make most, by the host compiler's words.

Each hint belongs to a pattern of the error's text, with plain quotes, and optionally to one of the kernel's
line it stands in; the first that fits is told.
"""

from __future__ import annotations

import re

_UNKNOWN = r"(?:use of undeclared identifier |no (?:member|template) named |unknown type name |^)'(?:{})'"
_NO_CALL = r"no matching (?:member )?function for call to '(?:[\w:<>, ]*::)?(?:{})\b"
_NUMBER = r"[(,] *(?:-|\+)?\d+\.?\d*(?:[eE]-?\d+)?[fFuU]? *[,)]"
_RAW = (
    r"(?:neg|add|sub)?(?:mul|mac|msc)_(?:elem|conv|\d+x\d+)\w*|(?:put|get)_[ms]s\w*|[us]?l?srs\w*|u?lups\w*"
    r"|(?:ups|srs)_to_\w+|(?:set|concat_to|ext|insert|extract|broadcast|shuffle)_\w+|shiftx?|acquire\w*"
    r"|release\w*|get_coreid|get_cycles"
)
_ELEMENTARY = "exp|log|erf|sigmoid|gelu|silu|pow|sin|cos"
_REGISTER = r"v\d+(?:u?int\d+|bfloat16|float|acc\d+|accfloat)"

# The error's text, the kernel's line, what to do.
_HINTS: tuple[tuple[str, str, str], ...] = (
    ("no such shape", "", "write aie::mmul<rows, inner, columns, ...> with one of these shapes"),
    (
        r"'exp2|'tanh",
        "",
        "aie::exp2 and aie::tanh are AIE2P's (npu2); AIE2 has getExpBf16 and getTanhBf16 of lut_based_ops.h",
    ),
    ("bfp16ebs", "", "block floating point (bfp16ebs8, bfp16ebs16) is AIE2P's: npu2"),
    ("8x8_8x8T'", "", "products of blocks are AIE2P's: npu2"),
    (_UNKNOWN.format(r"T\d+_\d+x\d+\w*"), "", "this architecture's shuffle has no such mode"),
    (
        _UNKNOWN.format("get(?:Exp|Tanh|Inv|Sqrt|Rsqrt|Erf)Bf16"),
        "",
        '#include "lut_based_ops.h" (exponential, tanh and reciprocal by tables)',
    ),
    (
        rf"'(?:{_ELEMENTARY})' is not a member of 'aie'|named '(?:{_ELEMENTARY})' in namespace 'aie'",
        "",
        "the AIE API has no such function; lut_based_ops.h has getExpBf16, getTanhBf16 and getInvBf16",
    ),
    (
        _UNKNOWN.format(_RAW),
        "",
        "the simulator has few of the core's raw intrinsics: write the aie:: call that uses it",
    ),
    (
        r"^'aie' |undeclared identifier 'aie'|'(?:bfloat16|u?int\d+(?:_t)?)'.*(?:not declared|name a type)"
        r"|unknown type name '(?:bfloat16|u?int\d+(?:_t)?)'|" + _UNKNOWN.format(_REGISTER),
        "",
        "#include <aie_api/aie.hpp> at the top of the kernel",
    ),
    (
        r"No such file or directory|file not found",
        "",
        "a quoted #include is looked for beside the kernel, then where the simulator keeps the AIE API",
    ),
    (
        "no product in this accumulator",
        "",
        "let aie::mul choose: auto acc = aie::mul(a, b), or name the tag that fits the factors",
    ),
    (
        r"'(?:aie::)?accum<acc\w+.* to .*'(?:aie::)?accum<",
        "",
        "accumulators of integers and of floats do not convert: end the sum with .to_vector<T>()",
    ),
    (
        r"'(?:aie::)?vector<.* to .*'(?:aie::)?vector<\[",
        "",
        "the lengths differ: name the one you mean, as in aie::load_v<16>(p)",
    ),
    (
        r"'(?:aie::)?vector<(?:float|bfloat16).* to .*'(?:aie::)?vector<(?:float|bfloat16)",
        "",
        "elements do not convert by themselves: aie::accum<accfloat, N>(v).to_vector<bfloat16>()",
    ),
    (
        "no accumulator register has this many lanes|a vector has 128",
        "",
        "take the next length that exists and use part of it",
    ),
    (
        r"'operator[*/]'|invalid operands to binary expression",
        r"\*|/",
        "vectors multiply into an accumulator: aie::mul(a, b), and .to_vector<T>() of it; aie::div divides",
    ),
    (
        r"'operator[-+<>|&^]|invalid operands to binary expression",
        "",
        "say `using namespace aie::operators;` and give both sides one element type, as (bfloat16)2.0f",
    ),
    (
        r"no matching member function for call to '(?:mul|mac)'|call to 'aie::mmul<",
        "",
        "the vectors of a product M have M::size_A and M::size_B elements of the factors' types",
    ),
    (
        _NO_CALL.format("(?:exp|log|sqrt|tanh|sin|cos|pow|fabs|fmax|fmin)f?")
        + r"|cannot convert 'aie::vector<.*' to '(?:float|double)'",
        "",
        "functions of <cmath> take numbers: vectors have aie::inv, aie::sqrt, and tables in lut_based_ops.h",
    ),
    (
        _NO_CALL.format(r"store_v|store_unaligned_v|reduce_\w+|max|min|abs|select|shuffle_\w+|filter_\w+"),
        r"accum|acc|aie::(?:mul|mac|msc|negmul)\(",
        "this takes vectors: end the sum with .to_vector<T>() first",
    ),
    (
        _NO_CALL.format("add|sub|mul|mac|msc|max|min|lt|le|gt|ge|eq|select|broadcast"),
        _NUMBER,
        "a number has to have the vectors' element type: (bfloat16)2.0f, (int8)3",
    ),
    (
        _NO_CALL.format("add|sub|mul|mac|msc|negmul|max|min|lt|le|gt|ge|eq|select|concat|bit_\\w+"),
        "",
        "both sides need one length and types that go together: integers, or bfloat16 with bfloat16",
    ),
    (
        r"exception handling disabled|exceptions disabled|cannot use '(?:throw|try)'",
        "",
        "AIE programs have no exceptions",
    ),
    (r"'(?:std::)?(?:cout|cerr|endl)'", "", "AIE programs have no C++ streams"),
    ("exist for AIE cores", "", "take the #include out: kernels have neither files, streams nor threads"),
)


def hint_for(text: str, line: str) -> str | None:
    """Return what to do about an error of the host compiler, if it is one that kernels often make.

    Args:
        text: The compiler's words.
        line: The line of the kernel it stands in; empty if unknown.
    """
    plain = text.replace("‘", "'").replace("’", "'")
    for pattern, code, hint in _HINTS:
        if re.search(pattern, plain) and re.search(code, line):
            return hint
    return None
