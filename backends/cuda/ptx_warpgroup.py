"""Products of warpgroups in PTX: `wgmma`, which LLVM knows as text.

The sums stay in registers that the instructions own until they are waited for. LLVM learns of none of that: each instruction takes the
sums of the one before, and behind the last wait they pass through an empty instruction, so that nobody looks at them before.
"""

from __future__ import annotations

from ingot.backends.cuda.wide import WideAccesses
from ingot.ir.dtypes import bf16, f16, f32
from ingot.ir.loop.fragments import LINE, apart
from ingot.ir.loop.ir import WarpgroupMma, WarpgroupWait

__all__ = ["products", "settle"]

ADDRESS = 0x3FFFF  # the bits of an address in shared memory that a descriptor has
SWIZZLE = 1 << 62  # of 128 bytes
GROUPS = (8 * LINE * 4) >> 4  # what lies between groups of eight lines, in units of 16 bytes


def products(e: WideAccesses, s: WarpgroupMma, near: dict[str, str]) -> None:
    """The steps of a product, one instruction each, as a group. near: where shared memory begins."""
    kind = {bf16: "bf16", f16: "f16", f32: "tf32"}[s.dtype]
    n, per = len(s.accs), 32 // s.dtype.itemsize
    sums = ", ".join(f"${k}" for k in range(n))
    turned = "" if s.dtype is f32 else "".join(f", {int(t)}" for t in s.turned)
    text = f"{{ .reg .pred p; setp.ne.b32 p, ${2 * n + 2}, 0; wgmma.mma_async.sync.aligned.m64n{2 * n}k{per}.f32.{kind}.{kind} "
    text += f"{{{sums}}}, ${2 * n}, ${2 * n + 1}, p, 1, 1{turned}; }}"
    constraints = ",".join(["=f"] * n + [str(k) for k in range(n)] + ["l", "l", "r", "~{memory}"])
    out = f"{{{', '.join(['float'] * n)}}}" if n > 1 else "float"
    left, right = (
        _descriptor(e, near[buf], e.operand(at).text, s.steps if t else 0)
        for buf, at, t in ((s.left, s.left_at, s.turned[0]), (s.right, s.right_at, s.turned[1]))
    )
    e.call("void", "llvm.nvvm.wgmma.fence.sync.aligned")
    accs = [e.accs[name] for name in s.accs]
    for step in range(s.steps):
        at = []
        for begin, t in ((left, s.turned[0]), (right, s.turned[1])):
            further = step * (16 * LINE * 4 if t else 32) >> 4
            at.append(e.new(f"add i64 {begin}, {further}") if further else begin)
        args = ", ".join([*(f"float {a.values[0]}" for a in accs), *(f"i64 {x}" for x in at), "i32 1"])
        made = e.new(f'call {out} asm sideeffect "{text}", "{constraints}"({args}) convergent nounwind')
        for k, a in enumerate(accs):
            a.values[0] = e.new(f"extractvalue {out} {made}, {k}")
    e.call("void", "llvm.nvvm.wgmma.commit_group.sync.aligned")


def _descriptor(e: WideAccesses, base: str, at: str, steps: int) -> str:
    """The descriptor of a matrix that begins at a word of shared memory; `steps`: of k, of one that is turned."""
    address = e.new(f"ptrtoint ptr addrspace(3) {e.new(f'getelementptr i32, ptr addrspace(3) {base}, i64 {at}')} to i32")
    units = e.new(f"lshr i32 {e.new(f'and i32 {address}, {ADDRESS}')}, 4")
    leading = apart(steps) * 4 >> 4 if steps else 1
    return e.new(f"or i64 {e.new(f'zext i32 {units} to i64')}, {SWIZZLE | GROUPS << 32 | leading << 16}")


def settle(e: WideAccesses, s: WarpgroupWait) -> None:
    """Where products are done but for the last groups; if there are none, their sums can be looked at from now on."""
    e.call("void", "llvm.nvvm.wgmma.wait_group.sync.aligned", ("i64", str(s.groups)))
    for name in s.accs:
        acc = e.accs[name]
        acc.values[0] = e.new(f'call float asm sideeffect "", "=f,0,~{{memory}}"(float {acc.values[0]}) nounwind')
