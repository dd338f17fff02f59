"""The driver, as LLVM IR: what walks the table of a shared object and calls its kernels. One code per architecture.

    i32 ingot_entry(i64* args, Table* rt, i8* arena)      0, or the code of a failed check
    i32 ingot_sizes(i64* symbols, i64* out)               where there are symbols: bytes of the arena and of a worker's scratch, then the
                                                          extents of each output; or the code of what does not fit

    Table { i64 abi_version; i64 nthreads; ptr pool; ptr parallel; }
    parallel: void (ptr pool, ptr fn, ptr ctx, i64 n, ptr scratch, i64 scratch_stride)

The table (`table.py` writes it) stands beside the code as `ingot_table`: words of 64 bits, a head and then instructions, which work on
a frame of words on the stack:

    frame   0 the arena, 1 the address of the arguments, 2 the kernels' scratch, 3 the workers' scratch, then the arguments themselves,
            then what the table's image holds (constants), then what is calculated
    head    0 arguments, 1 words of the frame, 2 words of the image, 3 where the image begins (in words from the table's beginning),
            4 most buffers of a launch, 5 the code of a size that is too large, 6 symbols, 7 nothing

    END
    LAUNCH | buffers << 8, kernel, parameters, a word per buffer
    REPEAT, variable, count, words          variable = 0; where count is less than 1, go on so many words later
    NEXT, variable, count, words            variable += 1; where it is less than count, go back so many words
    ADD | SUB | MUL | DIV | MIN | MAX, result, a, b         of places in the frame; DIV rounds down
    MOVE, result, a
    BOUND, a, least, most, code             return the code where a is less or more; both are numbers
    ASKED, words                            for ingot_sizes, go on so many words later
    TELL, a                                 the next number of `out`
    SKIP, address, words                    where the byte there is 0, go on so many words later
    GO, words                               go on so many words later
    BACK, words                             go back so many words, unless a check has failed

An address is a word: frame[low 20 bits] + the rest, which has a sign. A kernel is given by the distance of its code from the table; its
parameters, 2 * n or 2 * n + 1: the words from word n of the table, or of the frame. A kernel is

    void (i64* buffers, i64* parameters, Table* rt, ptr scratch of the call, ptr scratch of the workers, i64* status)
"""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["ADDRESS_BITS", "FRAME", "HEAD", "OPS", "copy_text", "driver_text"]

FRAME = 4  # words of the frame before the arguments
HEAD = 8  # words of the table before its instructions
ADDRESS_BITS = 20
OPS = {name: k for k, name in enumerate(
    ("END", "LAUNCH", "REPEAT", "NEXT", "ADD", "SUB", "MUL", "DIV", "MIN", "MAX", "MOVE", "BOUND", "ASKED", "TELL", "SKIP", "GO", "BACK")
)}  # fmt: skip

_MXCSR = 0x1F80  # round to nearest, denormals kept, exceptions masked
_ARCH = {
    "x86_64": {
        "TRIPLE": "x86_64-unknown-linux-gnu",
        "DECLARE": "declare void @llvm.x86.sse.stmxcsr(ptr)\ndeclare void @llvm.x86.sse.ldmxcsr(ptr)",
        "SET_FP": "call void @llvm.x86.sse.stmxcsr(ptr %saved)\n"
        f"  store i32 {_MXCSR}, ptr %mode\n  call void @llvm.x86.sse.ldmxcsr(ptr %mode)",
        "RESTORE_FP": "call void @llvm.x86.sse.ldmxcsr(ptr %saved)",
    },
    "aarch64": {
        "TRIPLE": "aarch64-unknown-linux-gnu",
        "DECLARE": "declare i64 @llvm.aarch64.get.fpcr()\ndeclare void @llvm.aarch64.set.fpcr(i64)",
        "SET_FP": "%fpcr = call i64 @llvm.aarch64.get.fpcr()\n  call void @llvm.aarch64.set.fpcr(i64 0)",
        "RESTORE_FP": "call void @llvm.aarch64.set.fpcr(i64 %fpcr)",
    },
}

_TEXT = """
target triple = "{TRIPLE}"
{DECLARE}
declare {i64, i1} @llvm.sadd.with.overflow.i64(i64, i64)
declare {i64, i1} @llvm.ssub.with.overflow.i64(i64, i64)
declare {i64, i1} @llvm.smul.with.overflow.i64(i64, i64)
declare i64 @llvm.smin.i64(i64, i64)
declare i64 @llvm.smax.i64(i64, i64)

@ingot_table = external hidden constant [0 x i64], align 64

{KERNELS}define internal ptr @address(ptr %frame, i64 %word) alwaysinline nounwind {
  %place = and i64 %word, {ADDRESS_MASK}
  %base_p = getelementptr i64, ptr %frame, i64 %place
  %base = load ptr, ptr %base_p
  %offset = ashr i64 %word, {ADDRESS_BITS}
  %a = getelementptr i8, ptr %base, i64 %offset
  ret ptr %a
}

define internal i64 @word(ptr %pc, i64 %k) alwaysinline nounwind {
  %p = getelementptr i64, ptr %pc, i64 %k
  %w = load i64, ptr %p
  ret i64 %w
}

define internal i64 @value(ptr %pc, i64 %k, ptr %frame) alwaysinline nounwind {
  %at = call i64 @word(ptr %pc, i64 %k)
  %v = call i64 @word(ptr %frame, i64 %at)
  ret i64 %v
}

{FUNCTION} {
entry:
  %status = alloca i64
  %saved = alloca i32
  %mode = alloca i32
  store i64 -1, ptr %status{COUNT}
  {SET_FP}
  %n_args = load i64, ptr @ingot_table
  %n_frame = call i64 @word(ptr @ingot_table, i64 1)
  %n_image = call i64 @word(ptr @ingot_table, i64 2)
  %at_image = call i64 @word(ptr @ingot_table, i64 3)
  %n_buffers = call i64 @word(ptr @ingot_table, i64 4)
  %too_large = call i64 @word(ptr @ingot_table, i64 5)
  %frame = alloca i64, i64 %n_frame, align 64
  %buffers = alloca i64, i64 %n_buffers, align 64
  store ptr %arena, ptr %frame{BEGIN}
  %f1 = getelementptr i64, ptr %frame, i64 1
  store ptr %args, ptr %f1
  %f4 = getelementptr i64, ptr %frame, i64 {FRAME}
  br label %take
take:
  %t = phi i64 [ 0, {ENTERED} ], [ %t1, %taken ]
  %more_args = icmp slt i64 %t, %n_args
  br i1 %more_args, label %taken, label %image
taken:
  %arg = call i64 @word(ptr %args, i64 %t)
  %arg_p = getelementptr i64, ptr %f4, i64 %t
  store i64 %arg, ptr %arg_p
  %t1 = add i64 %t, 1
  br label %take
image:
  %u = phi i64 [ 0, %take ], [ %u1, %imaged ]
  %to = getelementptr i64, ptr %f4, i64 %n_args
  %from = getelementptr i64, ptr @ingot_table, i64 %at_image
  %more_image = icmp slt i64 %u, %n_image
  br i1 %more_image, label %imaged, label %begin
imaged:
  %number = call i64 @word(ptr %from, i64 %u)
  %number_p = getelementptr i64, ptr %to, i64 %u
  store i64 %number, ptr %number_p
  %u1 = add i64 %u, 1
  br label %image
begin:
  %first = getelementptr i64, ptr @ingot_table, i64 {HEAD}
  br label %next
next:
  %pc = phi ptr [ %first, %begin ], {LAUNCHED_PHI}, [ %after_repeat, %repeat ],
    [ %after_again, %again ], [ %after_skip, {SKIPPED} ], [ %after_go, %go ], [ %after_back, %turn ],
    [ %after_result, %result ], [ %after_bound, %bound ]{TELLING_PHI}
  %word = load i64, ptr %pc
  %op = and i64 %word, 255
  switch i64 %op, label %end [
    i64 {LAUNCH}, label %launch
    i64 {REPEAT}, label %repeat
    i64 {NEXT}, label %again
    i64 {SKIP}, label %skip
    i64 {GO}, label %go
    i64 {BACK}, label %turn
    i64 {ADD}, label %add
    i64 {SUB}, label %sub
    i64 {MUL}, label %mul
    i64 {DIV}, label %div
    i64 {MIN}, label %min
    i64 {MAX}, label %max
    i64 {MOVE}, label %move
    i64 {BOUND}, label %bound{TELLING_CASES}
  ]

launch:
  %n = lshr i64 %word, 8
  %distance = call i64 @word(ptr %pc, i64 1)
  %kernel = getelementptr i8, ptr @ingot_table, i64 %distance
  %given = call i64 @word(ptr %pc, i64 2)
  %odd = and i64 %given, 1
  %calculated = icmp ne i64 %odd, 0
  %home = select i1 %calculated, ptr %frame, ptr @ingot_table
  %at = lshr i64 %given, 1
  %parameters = getelementptr i64, ptr %home, i64 %at
  %words = getelementptr i64, ptr %pc, i64 3
  %after_launch = getelementptr i64, ptr %words, i64 %n
  br label %fill
fill:
  %k = phi i64 [ 0, %launch ], [ %k1, %filled ]
  %more = icmp slt i64 %k, %n
  br i1 %more, label %filled, label %launched
filled:
  %w = call i64 @word(ptr %words, i64 %k)
  %a = call ptr @address(ptr %frame, i64 %w)
  %b = getelementptr i64, ptr %buffers, i64 %k
  store ptr %a, ptr %b{FILLED}
  %k1 = add i64 %k, 1
  br label %fill
launched:
{LAUNCHED}
repeat:
  %var = call i64 @word(ptr %pc, i64 1)
  %var_p = getelementptr i64, ptr %frame, i64 %var
  store i64 0, ptr %var_p
  %count = call i64 @value(ptr %pc, i64 2, ptr %frame)
  %body = getelementptr i64, ptr %pc, i64 4
  %length = call i64 @word(ptr %pc, i64 3)
  %behind = getelementptr i64, ptr %body, i64 %length
  %runs = icmp sgt i64 %count, 0
  %after_repeat = select i1 %runs, ptr %body, ptr %behind
  br label %next

again:
  %var2 = call i64 @word(ptr %pc, i64 1)
  %var2_p = getelementptr i64, ptr %frame, i64 %var2
  %i = load i64, ptr %var2_p
  %i1 = add i64 %i, 1
  store i64 %i1, ptr %var2_p
  %count2 = call i64 @value(ptr %pc, i64 2, ptr %frame)
  %length2 = call i64 @word(ptr %pc, i64 3)
  %back = sub i64 0, %length2
  %start = getelementptr i64, ptr %pc, i64 %back
  %on = getelementptr i64, ptr %pc, i64 4
  %goes_on = icmp slt i64 %i1, %count2
  %after_again = select i1 %goes_on, ptr %start, ptr %on
  br label %next

skip:
  %flag_w = call i64 @word(ptr %pc, i64 1)
  %flag_p = call ptr @address(ptr %frame, i64 %flag_w)
{FLAG}  %set = icmp ne i8 %flag, 0
  %skipped = call i64 @word(ptr %pc, i64 2)
  %behind_skip = getelementptr i64, ptr %pc, i64 3
  %skip_to = getelementptr i64, ptr %behind_skip, i64 %skipped
  %after_skip = select i1 %set, ptr %behind_skip, ptr %skip_to
  br label %next

go:
  %ahead = call i64 @word(ptr %pc, i64 1)
  %behind_go = getelementptr i64, ptr %pc, i64 2
  %after_go = getelementptr i64, ptr %behind_go, i64 %ahead
  br label %next

turn:
{SO_FAR}  %goes_well = icmp eq i64 %so_far, -1
  %length3 = call i64 @word(ptr %pc, i64 1)
  %back3 = sub i64 0, %length3
  %start3 = getelementptr i64, ptr %pc, i64 %back3
  %behind_turn = getelementptr i64, ptr %pc, i64 2
  %after_back = select i1 %goes_well, ptr %start3, ptr %behind_turn
  br label %next

{ARITHMETIC}
div:
  %div_a = call i64 @value(ptr %pc, i64 2, ptr %frame)
  %div_b = call i64 @value(ptr %pc, i64 3, ptr %frame)
  %positive = icmp sgt i64 %div_b, 0
  br i1 %positive, label %divides, label %large
divides:
  %q = sdiv i64 %div_a, %div_b
  %qb = mul i64 %q, %div_b
  %rest = sub i64 %div_a, %qb
  %below = icmp slt i64 %rest, 0
  %less = sext i1 %below to i64
  %floor = add i64 %q, %less
  br label %result
min:
  %min_a = call i64 @value(ptr %pc, i64 2, ptr %frame)
  %min_b = call i64 @value(ptr %pc, i64 3, ptr %frame)
  %smaller = call i64 @llvm.smin.i64(i64 %min_a, i64 %min_b)
  br label %result
max:
  %max_a = call i64 @value(ptr %pc, i64 2, ptr %frame)
  %max_b = call i64 @value(ptr %pc, i64 3, ptr %frame)
  %larger = call i64 @llvm.smax.i64(i64 %max_a, i64 %max_b)
  br label %result
move:
  %moved = call i64 @value(ptr %pc, i64 2, ptr %frame)
  br label %result
result:
  %r = phi i64 [ %add_r, %add ], [ %sub_r, %sub ], [ %mul_r, %mul ], [ %floor, %divides ], [ %smaller, %min ], [ %larger, %max ],
    [ %moved, %move ]
  %r_words = phi i64 [ 4, %add ], [ 4, %sub ], [ 4, %mul ], [ 4, %divides ], [ 4, %min ], [ 4, %max ], [ 3, %move ]
  %r_at = call i64 @word(ptr %pc, i64 1)
  %r_p = getelementptr i64, ptr %frame, i64 %r_at
  store i64 %r, ptr %r_p
  %after_result = getelementptr i64, ptr %pc, i64 %r_words
  br label %next

bound:
  %x = call i64 @value(ptr %pc, i64 1, ptr %frame)
  %least = call i64 @word(ptr %pc, i64 2)
  %most = call i64 @word(ptr %pc, i64 3)
  %bound_code = call i64 @word(ptr %pc, i64 4)
  %not_less = icmp sge i64 %x, %least
  %not_more = icmp sle i64 %x, %most
  %fits = and i1 %not_less, %not_more
  %after_bound = getelementptr i64, ptr %pc, i64 5
  br i1 %fits, label %next, label %refused

{TELLING}large:
  br label %refused
refused:
  %why = phi i64 [ %too_large, %large ], [ %bound_code, %bound ]{WHY}
  store i64 %why, ptr %status
  br label %end
end:
  {RESTORE_FP}
  %code = load i64, ptr %status
  %fine = icmp eq i64 %code, -1
  %short = trunc i64 %code to i32
  %returned = select i1 %fine, i32 0, i32 %short
  ret i32 %returned
}
"""

_PARALLEL = """; One chunk runs here, more go to the pool.
define hidden void @ingot.parallel(ptr %rt, ptr %fn, ptr %ctx, i64 %n, ptr %scratch, i64 %stride) nounwind {
  %some = icmp sgt i64 %n, 0
  br i1 %some, label %run, label %done
run:
  %one = icmp eq i64 %n, 1
  br i1 %one, label %here, label %spread
here:
  tail call void %fn(ptr %ctx, i64 0, i64 1, ptr %scratch)
  ret void
spread:
  %pp = getelementptr i8, ptr %rt, i64 16
  %pool = load ptr, ptr %pp
  %fp = getelementptr i8, ptr %rt, i64 24
  %parallel = load ptr, ptr %fp
  tail call void %parallel(ptr %pool, ptr %fn, ptr %ctx, i64 %n, ptr %scratch, i64 %stride)
  ret void
done:
  ret void
}

"""
_CALL = """  %f2 = getelementptr i64, ptr %frame, i64 2
  %scratch0 = load ptr, ptr %f2
  %f3 = getelementptr i64, ptr %frame, i64 3
  %scratch = load ptr, ptr %f3
  call void %kernel(ptr %buffers, ptr %parameters, ptr %rt, ptr %scratch0, ptr %scratch, ptr %status)
  %left = load i64, ptr %status
  %checked = icmp eq i64 %left, -1
  br i1 %checked, label %next, label %end  ; what comes behind may write over inputs
"""

# what a step that copies launches: an object that copies nothing needs nothing of libc
_COPY = """
target triple = "{TRIPLE}"
declare void @llvm.memmove.p0.p0.i64(ptr, ptr, i64, i1)

define void @ingot_kernel(ptr %buffers, ptr %parameters, ptr %rt, ptr %scratch0, ptr %scratch, ptr %status) nounwind {
  %to = load ptr, ptr %buffers
  %from_p = getelementptr ptr, ptr %buffers, i64 1
  %from = load ptr, ptr %from_p
  %nbytes = load i64, ptr %parameters
  call void @llvm.memmove.p0.p0.i64(ptr %to, ptr %from, i64 %nbytes, i1 false)
  ret void
}
"""

_ARITHMETIC = """{name}:
  %{name}_a = call i64 @value(ptr %pc, i64 2, ptr %frame)
  %{name}_b = call i64 @value(ptr %pc, i64 3, ptr %frame)
  %{name}_both = call {{i64, i1}} @llvm.s{name}.with.overflow.i64(i64 %{name}_a, i64 %{name}_b)
  %{name}_r = extractvalue {{i64, i1}} %{name}_both, 0
  %{name}_over = extractvalue {{i64, i1}} %{name}_both, 1
  br i1 %{name}_over, label %large, label %result
"""


# what a driver has beside that where there are symbols
_FUNCTIONS = """
define i32 @ingot_entry(ptr %args, ptr %rt, ptr %arena) nounwind {
  %r = tail call i32 @run(ptr %args, ptr %rt, ptr %arena, ptr null)
  ret i32 %r
}

define i32 @ingot_sizes(ptr %symbols, ptr %out) nounwind "no-builtins" {
entry:
  %n_args = load i64, ptr @ingot_table
  %n_symbols = call i64 @word(ptr @ingot_table, i64 6)
  %args = alloca i64, i64 %n_args, align 64
  %first = sub i64 %n_args, %n_symbols
  br label %next
next:
  %k = phi i64 [ 0, %entry ], [ %k1, %given ], [ %k1, %none ]
  %more = icmp slt i64 %k, %n_args
  br i1 %more, label %arg, label %go
arg:
  %at = getelementptr i64, ptr %args, i64 %k
  %k1 = add i64 %k, 1
  %number = sub i64 %k, %first
  %is_symbol = icmp sge i64 %number, 0
  br i1 %is_symbol, label %given, label %none
given:
  %value = call i64 @word(ptr %symbols, i64 %number)
  store i64 %value, ptr %at
  br label %next
none:
  store i64 0, ptr %at
  br label %next
go:
  %r = call i32 @run(ptr %args, ptr null, ptr null, ptr %out)
  ret i32 %r
}
"""
_TELLING = """asked:
  %is_asked = icmp ne ptr %out, null
  %behind_asked = getelementptr i64, ptr %pc, i64 2
  %far = call i64 @word(ptr %pc, i64 1)
  %telling = getelementptr i64, ptr %behind_asked, i64 %far
  %after_asked = select i1 %is_asked, ptr %telling, ptr %behind_asked
  br label %next
tell:
  %told = call i64 @value(ptr %pc, i64 1, ptr %frame)
  %told_k = load i64, ptr %n_told
  %told_p = getelementptr i64, ptr %out, i64 %told_k
  store i64 %told, ptr %told_p
  %told_k1 = add i64 %told_k, 1
  store i64 %told_k1, ptr %n_told
  %after_tell = getelementptr i64, ptr %pc, i64 2
  br label %next
"""
_PLAIN = {
    "FUNCTION": 'define i32 @ingot_entry(ptr %args, ptr %rt, ptr %arena) nounwind "no-builtins"',
    "TELLING_PHI": "", "TELLING_CASES": "", "TELLING": "", "COUNT": "",
}  # fmt: skip
_ASKED = {
    "FUNCTION": _FUNCTIONS + '\ndefine internal i32 @run(ptr %args, ptr %rt, ptr %arena, ptr %out) nounwind "no-builtins"',
    "TELLING_PHI": ", [ %after_asked, %asked ], [ %after_tell, %tell ]",
    "TELLING_CASES": "\n    i64 {ASKED}, label %asked\n    i64 {TELL}, label %tell", "TELLING": _TELLING,
    "COUNT": "\n  %n_told = alloca i64\n  store i64 0, ptr %n_told",
}  # fmt: skip


# how kernels are called: here, and at once
_HERE = {
    "KERNELS": _PARALLEL, "LAUNCHED": _CALL, "FLAG": "  %flag = load i8, ptr %flag_p\n", "SO_FAR": "  %so_far = load i64, ptr %status\n",
    "BEGIN": "", "FILLED": "", "WHY": "", "LAUNCHED_PHI": "[ %after_launch, %launched ]", "SKIPPED": "%skip", "ENTERED": "%entry",
}  # fmt: skip


def driver_text(arch: str, symbols: bool = False, kernels: Mapping[str, str] = _HERE) -> str:
    """The driver's LLVM IR for `arch` ("x86_64" or "aarch64"), with or without what programs with symbols need. KeyError for any other.

    kernels: how they are launched, and how what they leave is read, where that is not here
    """
    text = re.sub("|".join(f"{{{k}}}" for k in kernels), lambda m: kernels[m[0][1:-1]], _TEXT)
    text = re.sub(r"\{(FUNCTION|TELLING_PHI|TELLING_CASES|TELLING|COUNT)\}", lambda m: (_ASKED if symbols else _PLAIN)[m[1]], text)
    values = {
        **_ARCH[arch], **{k: str(v) for k, v in OPS.items()},
        "ARITHMETIC": "".join(_ARITHMETIC.format(name=n) for n in ("add", "sub", "mul")),
        "ADDRESS_BITS": str(ADDRESS_BITS), "ADDRESS_MASK": str((1 << ADDRESS_BITS) - 1), "FRAME": str(FRAME), "HEAD": str(HEAD),
    }  # fmt: skip
    return re.sub(r"\{([A-Z_]+)\}", lambda m: values[m[1]], text)


def copy_text(arch: str) -> str:
    """The LLVM IR of a kernel that moves as many bytes as its parameter says from its second buffer to its first."""
    return _COPY.replace("{TRIPLE}", _ARCH[arch]["TRIPLE"])
