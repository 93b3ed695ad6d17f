"""Sums over the lanes of a warp, of many rows at once."""

import triton
import triton.language as tl
from lengthwise.kernels.gpu_scan_rows import INTERPRETED


@triton.constexpr_function
def _assembly(rows):
    """Every lane writes its part of the rows to shared memory, then adds up one of them.

    They lie there lane by lane, four numbers apart from a whole number of banks, so that neither
    way two lanes meet in a bank. Operand 0 is the sum, the last one the lane.
    """
    pitch, lane = 4 * (rows + 4), f"${rows + 1}"
    writes = [
        f"st.shared.v4.f32 [at + {4 * row}], {{${row + 1}, ${row + 2}, ${row + 3}, ${row + 4}}};"
        for row in range(0, rows, 4)
    ]
    reads = [
        f"ld.shared.f32 part, [at + {each * pitch}]; add.f32 sum{each % 4}, sum{each % 4}, part;"
        for each in range(4, 32)
    ]
    lines = [
        f"{{ .shared .align 16 .b8 board[{32 * pitch}];",
        ".reg .u32 base, at; .reg .f32 part, sum0, sum1, sum2, sum3;",
        f"mov.u32 base, board; mad.lo.u32 at, {lane}, {pitch}, base;",
        *writes,
        "bar.warp.sync 0xffffffff;",
        f"and.b32 at, {lane}, {rows - 1}; mad.lo.u32 at, at, 4, base;",
        *[f"ld.shared.f32 sum{each}, [at + {each * pitch}];" for each in range(4)],
        *reads,
        "add.f32 sum0, sum0, sum1; add.f32 sum2, sum2, sum3; add.f32 $0, sum0, sum2;",
        "bar.warp.sync 0xffffffff; }",
    ]
    return " ".join(lines)


@triton.constexpr_function
def _constraints(rows):
    return ",".join(["=f", *["f"] * rows, "r"])


@triton.jit
def sums_of(rows, COUNT: tl.constexpr):
    """Of each of COUNT rows [32], 8, 16 or 32: lane l gets the sum of row l mod COUNT.

    Triton's own sums take five exchanges a row, these a fourth of a store, a load and an addition.
    """
    lane = tl.arange(0, 32)
    if INTERPRETED:
        total = tl.zeros([32], tl.float32)
        for k in tl.static_range(COUNT):
            total = tl.where(lane % COUNT == k, tl.sum(rows[k], 0), total)
    else:
        total = tl.inline_asm_elementwise(
            _assembly(COUNT),
            _constraints(COUNT),
            rows + (lane,),
            dtype=tl.float32,
            is_pure=False,
            pack=1,
        )
    return total
