"""Scalar functions that generated code calls where no instruction does the work: all integer arithmetic, no library.

HELPERS[name] = (intrinsics it needs as (result, name, argument types), the function's LLVM IR)
"""

from __future__ import annotations

__all__ = ["HELPERS"]

Needs = tuple[tuple[str, str, tuple[str, ...]], ...]


def _fmod(name: str, f: str, i: str, bits: int, fraction: int) -> tuple[Needs, str]:
    """C's fmod, exactly: the remainder of the mantissas, as many quotient bits at a time as fit in 64 bits."""
    hidden = 1 << fraction
    mask = hidden - 1
    infinity = ((1 << (bits - 1 - fraction)) - 1) << fraction
    nan = f"0x{0x7FF8000000000000:016X}"
    step = 63 - (fraction + 1)
    widen = (lambda x, y: f"  {y} = zext i32 {x} to i64") if bits == 32 else (lambda x, y: f"  {y} = add i64 {x}, 0")
    narrow = "  %rn = trunc i64 %rs to i32" if bits == 32 else "  %rn = add i64 %rs, 0"
    lz = 63 - fraction
    text = f"""define internal {f} @ingot.{name}({f} %x, {f} %y) #1 {{
entry:
  %xi = bitcast {f} %x to {i}
  %yi = bitcast {f} %y to {i}
  %ax = and {i} %xi, {(1 << (bits - 1)) - 1}
  %ay = and {i} %yi, {(1 << (bits - 1)) - 1}
  %sign = and {i} %xi, {-(1 << (bits - 1))}
  %y0 = icmp eq {i} %ay, 0
  %ynan = icmp ugt {i} %ay, {infinity}
  %xbad = icmp uge {i} %ax, {infinity}
  %b0 = or i1 %y0, %ynan
  %bad = or i1 %b0, %xbad
  br i1 %bad, label %invalid, label %order
invalid:
  ret {f} {nan}
order:
  %less = icmp ult {i} %ax, %ay
  br i1 %less, label %small, label %work
small:
  ret {f} %x
work:
  %exr = lshr {i} %ax, {fraction}
  %eyr = lshr {i} %ay, {fraction}
  %ex = call {i} @llvm.umax.{i}({i} %exr, {i} 1)
  %ey = call {i} @llvm.umax.{i}({i} %eyr, {i} 1)
  %fx = and {i} %ax, {mask}
  %fy = and {i} %ay, {mask}
  %xn = icmp ne {i} %exr, 0
  %yn = icmp ne {i} %eyr, 0
  %fxh = or {i} %fx, {hidden}
  %fyh = or {i} %fy, {hidden}
  %mx = select i1 %xn, {i} %fxh, {i} %fx
  %my = select i1 %yn, {i} %fyh, {i} %fy
{widen("%mx", "%m0")}
{widen("%my", "%n")}
  %k0i = sub {i} %ex, %ey
{widen("%k0i", "%k0")}
  %r0 = urem i64 %m0, %n
  br label %more
more:
  %r = phi i64 [ %r0, %work ], [ %r2, %shift ]
  %k = phi i64 [ %k0, %work ], [ %k2, %shift ]
  %kz = icmp eq i64 %k, 0
  %rz = icmp eq i64 %r, 0
  %end = or i1 %kz, %rz
  br i1 %end, label %done, label %shift
shift:
  %s = call i64 @llvm.umin.i64(i64 %k, i64 {step})
  %r1 = shl i64 %r, %s
  %r2 = urem i64 %r1, %n
  %k2 = sub i64 %k, %s
  br label %more
done:
  %isz = icmp eq i64 %r, 0
  br i1 %isz, label %zero, label %pack
zero:
  %zf = bitcast {i} %sign to {f}
  ret {f} %zf
pack:
{widen("%ey", "%e0")}
  %lead = call i64 @llvm.ctlz.i64(i64 %r, i1 false)
  %want = sub i64 %lead, {lz}
  %room = sub i64 %e0, 1
  %sh = call i64 @llvm.umin.i64(i64 %want, i64 %room)
  %rs = shl i64 %r, %sh
  %e1 = sub i64 %room, %sh
{narrow}
  %e1n = {"trunc i64 %e1 to i32" if bits == 32 else "add i64 %e1, 0"}
  %es = shl {i} %e1n, {fraction}
  %mag = add {i} %es, %rn
  %out = or {i} %mag, %sign
  %of = bitcast {i} %out to {f}
  ret {f} %of
}}
"""
    needs: Needs = (
        (i, f"llvm.umax.{i}", (i, i)),
        ("i64", "llvm.umin.i64", ("i64", "i64")),
        ("i64", "llvm.ctlz.i64", ("i64", "i1")),
    )
    return needs, text


# a*b+c with one rounding, for processors without the instruction. The product (106 bits) and the addend are aligned in
# 128 bits, what falls off below being kept as one sticky bit; the sum is rounded once, half to even.
_FMA64 = """define internal double @ingot.fma.f64(double %x, double %y, double %z) #1 {
entry:
  %xb = bitcast double %x to i64
  %yb = bitcast double %y to i64
  %zb = bitcast double %z to i64
  %xa = and i64 %xb, 9223372036854775807
  %ya = and i64 %yb, 9223372036854775807
  %za = and i64 %zb, 9223372036854775807
  %x0 = icmp eq i64 %xa, 0
  %y0 = icmp eq i64 %ya, 0
  %z0 = icmp eq i64 %za, 0
  %xi = icmp uge i64 %xa, 9218868437227405312
  %yi = icmp uge i64 %ya, 9218868437227405312
  %zi = icmp uge i64 %za, 9218868437227405312
  %p0 = or i1 %x0, %y0
  %i0 = or i1 %xi, %yi
  %plain = or i1 %p0, %i0
  %prod = fmul double %x, %y
  br i1 %plain, label %simple, label %second
simple:
  %s0 = fadd double %prod, %z
  ret double %s0
second:
  br i1 %zi, label %addend, label %third
addend:
  ret double %z
third:
  br i1 %z0, label %product, label %work
product:
  ret double %prod
work:
  %xl = call i64 @llvm.ctlz.i64(i64 %xa, i1 false)
  %yl = call i64 @llvm.ctlz.i64(i64 %ya, i1 false)
  %zl = call i64 @llvm.ctlz.i64(i64 %za, i1 false)
  %xe = lshr i64 %xa, 52
  %ye = lshr i64 %ya, 52
  %ze = lshr i64 %za, 52
  %xn = icmp ne i64 %xe, 0
  %yn = icmp ne i64 %ye, 0
  %zn = icmp ne i64 %ze, 0
  %xf = and i64 %xa, 4503599627370495
  %yf = and i64 %ya, 4503599627370495
  %zf = and i64 %za, 4503599627370495
  %xh = or i64 %xf, 4503599627370496
  %yh = or i64 %yf, 4503599627370496
  %zh = or i64 %zf, 4503599627370496
  %xsh = sub i64 %xl, 11
  %ysh = sub i64 %yl, 11
  %zsh = sub i64 %zl, 11
  %xd = shl i64 %xa, %xsh
  %yd = shl i64 %ya, %ysh
  %zd = shl i64 %za, %zsh
  %xde = sub i64 1, %xsh
  %yde = sub i64 1, %ysh
  %zde = sub i64 1, %zsh
  %mx = select i1 %xn, i64 %xh, i64 %xd
  %my = select i1 %yn, i64 %yh, i64 %yd
  %mz = select i1 %zn, i64 %zh, i64 %zd
  %ex = select i1 %xn, i64 %xe, i64 %xde
  %ey = select i1 %yn, i64 %ye, i64 %yde
  %ez0 = select i1 %zn, i64 %ze, i64 %zde
  %mx2 = zext i64 %mx to i128
  %my2 = zext i64 %my to i128
  %mz2 = zext i64 %mz to i128
  %pm = mul i128 %mx2, %my2
  %p = shl i128 %pm, 20
  %e1 = add i64 %ex, %ey
  %ep = sub i64 %e1, 2170
  %ez = sub i64 %ez0, 1075
  %d = sub i64 %ez, %ep
  %far = icmp sgt i64 %d, 73
  br i1 %far, label %above, label %near
above:
  %da0 = sub i64 %d, 73
  %da = call i64 @llvm.smin.i64(i64 %da0, i64 127)
  %da2 = zext i64 %da to i128
  %pa = lshr i128 %p, %da2
  %pback = shl i128 %pa, %da2
  %plost = icmp ne i128 %pback, %p
  %psticky = zext i1 %plost to i128
  %pr = or i128 %pa, %psticky
  %zr = shl i128 %mz2, 73
  %er = sub i64 %ez, 73
  br label %sum
near:
  %dpos = icmp sge i64 %d, 0
  %dn0 = sub i64 0, %d
  %dn1 = call i64 @llvm.smax.i64(i64 %dn0, i64 0)
  %dn = call i64 @llvm.smin.i64(i64 %dn1, i64 127)
  %dn2 = zext i64 %dn to i128
  %dp = call i64 @llvm.smax.i64(i64 %d, i64 0)
  %dp2 = zext i64 %dp to i128
  %zup = shl i128 %mz2, %dp2
  %zdown = lshr i128 %mz2, %dn2
  %zback = shl i128 %zdown, %dn2
  %zlost = icmp ne i128 %zback, %mz2
  %zsticky = zext i1 %zlost to i128
  %zlow = or i128 %zdown, %zsticky
  %zn2 = select i1 %dpos, i128 %zup, i128 %zlow
  br label %sum
sum:
  %P = phi i128 [ %pr, %above ], [ %p, %near ]
  %Z = phi i128 [ %zr, %above ], [ %zn2, %near ]
  %E = phi i64 [ %er, %above ], [ %ep, %near ]
  %ps0 = xor i64 %xb, %yb
  %ps = icmp slt i64 %ps0, 0
  %zs = icmp slt i64 %zb, 0
  %Pn = sub i128 0, %P
  %Zn = sub i128 0, %Z
  %P2 = select i1 %ps, i128 %Pn, i128 %P
  %Z2 = select i1 %zs, i128 %Zn, i128 %Z
  %S = add i128 %P2, %Z2
  %S0 = icmp eq i128 %S, 0
  br i1 %S0, label %nothing, label %round
nothing:
  ret double 0.0
round:
  %neg = icmp slt i128 %S, 0
  %Sn = sub i128 0, %S
  %M = select i1 %neg, i128 %Sn, i128 %S
  %hi0 = lshr i128 %M, 64
  %hi = trunc i128 %hi0 to i64
  %lo = trunc i128 %M to i64
  %lzh = call i64 @llvm.ctlz.i64(i64 %hi, i1 false)
  %lzl0 = call i64 @llvm.ctlz.i64(i64 %lo, i1 false)
  %lzl = add i64 %lzl0, 64
  %hz = icmp eq i64 %hi, 0
  %lz = select i1 %hz, i64 %lzl, i64 %lzh
  %top = sub i64 127, %lz
  %exp = add i64 %E, %top
  %sh0 = sub i64 %top, 52
  %lack0 = sub i64 -1022, %exp
  %lack = call i64 @llvm.smax.i64(i64 %lack0, i64 0)
  %sh1 = add i64 %sh0, %lack
  %gone = icmp sgt i64 %sh1, 127
  %shp = call i64 @llvm.smax.i64(i64 %sh1, i64 0)
  %sh = call i64 @llvm.smin.i64(i64 %shp, i64 127)
  %up0 = sub i64 0, %sh1
  %up = call i64 @llvm.smax.i64(i64 %up0, i64 0)
  %up2 = zext i64 %up to i128
  %M2 = shl i128 %M, %up2
  %sh2 = zext i64 %sh to i128
  %q128 = lshr i128 %M2, %sh2
  %qb = shl i128 %q128, %sh2
  %rem = sub i128 %M2, %qb
  %one = shl i128 1, %sh2
  %half = lshr i128 %one, 1
  %over = icmp ugt i128 %rem, %half
  %tie = icmp eq i128 %rem, %half
  %some = icmp ne i64 %sh, 0
  %q = trunc i128 %q128 to i64
  %odd0 = and i64 %q, 1
  %odd = icmp eq i64 %odd0, 1
  %t1 = and i1 %tie, %odd
  %t2 = and i1 %t1, %some
  %inc0 = or i1 %over, %t2
  %keep = xor i1 %gone, true
  %inc = and i1 %inc0, %keep
  %inc64 = zext i1 %inc to i64
  %q2 = select i1 %gone, i64 0, i64 %q
  %q3 = add i64 %q2, %inc64
  %bias = add i64 %exp, 1022
  %tiny = icmp slt i64 %bias, 0
  %bias2 = select i1 %tiny, i64 0, i64 %bias
  %eb = shl i64 %bias2, 52
  %mag0 = add i64 %eb, %q3
  %huge = icmp sgt i64 %exp, 1023
  %mag = select i1 %huge, i64 9218868437227405312, i64 %mag0
  %sb = select i1 %neg, i64 -9223372036854775808, i64 0
  %bits = or i64 %mag, %sb
  %out = bitcast i64 %bits to double
  ret double %out
}
"""

# The smallest code of all failed checks: the same on every run, whichever worker fails first.
_FAIL = """define internal void @ingot.fail(ptr %status, i64 %code) #2 {
  %old = atomicrmw umin ptr %status, i64 %code monotonic
  ret void
}
"""

_I64: Needs = tuple(("i64", f"llvm.{n}.i64", ("i64", "i64")) for n in ("smin", "smax"))

HELPERS: dict[str, tuple[Needs, str]] = {
    "fmod.f32": _fmod("fmod.f32", "float", "i32", 32, 23),
    "fmod.f64": _fmod("fmod.f64", "double", "i64", 64, 52),
    "fma.f64": ((*_I64, ("i64", "llvm.ctlz.i64", ("i64", "i1"))), _FMA64),
    "fail": ((), _FAIL),
    "zeros": ((), "@ingot.zeros = private constant [1024 x i8] zeroinitializer, align 64\n"),
}
