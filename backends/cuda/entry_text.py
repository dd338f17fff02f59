"""What the driver of launches is on a host with GPUs: the CPU's (`cpu/driver_text.py`), but for how kernels are called.

    i32 ingot_entry(i64* args, Device* rt, i8* arena)     0, the code of a size that is refused, or REFUSED | what the driver said

    Device { i64 abi_version; i64 mode; ptr functions; ptr stream; ptr* kernels; ptr status there; i64* status here; ptr context;
             ptr graph; ptr* nodes; i64 n_nodes; }

Addresses of buffers and of the arena are the GPU's. What an entry calls of the GPU's driver it is given in `functions`, in the order of
FUNCTIONS, so the code needs nothing of libcuda. Mode 0 launches into `stream`; mode 1 adds each launch to `graph` as a node that follows
on the one before, and leaves its handle in `nodes`; mode 2 gives the nodes, of which `graph` is the instance now, their parameters.

A launch is as the table of a CPU has it, where the distance leads to words that tell of the kernel instead of to its code:

    number (-1: copies), blocks (less than 0: ~ the parameter that says it), threads of a block, bytes of shared memory, parameters

A kernel gets the addresses of its buffers, the numbers themselves for scalar inputs, then its parameters, then the address of the status.
"""

from __future__ import annotations

__all__ = ["ABI_VERSION", "FUNCTIONS", "REFUSED", "WAYS"]

ABI_VERSION = 1
REFUSED = 1 << 30  # in what an entry returns: the rest is a CUresult
FUNCTIONS = (
    "cuCtxSetCurrent", "cuLaunchKernel", "cuMemcpyAsync", "cuStreamSynchronize", "cuGraphAddKernelNode_v2",
    "cuGraphExecKernelNodeSetParams_v2",
)  # fmt: skip

_DECLARED = """
define internal ptr @of_device(ptr %rt, i64 %k) alwaysinline nounwind {
  %p = getelementptr ptr, ptr %rt, i64 %k
  %v = load ptr, ptr %p
  ret ptr %v
}

define internal ptr @function(ptr %rt, i64 %k) alwaysinline nounwind {
  %table = call ptr @of_device(ptr %rt, i64 2)
  %f = call ptr @of_device(ptr %table, i64 %k)
  ret ptr %f
}

"""

_BEGIN = """
  %n_pointers = call i64 @word(ptr @ingot_table, i64 7)
  %pointers = alloca ptr, i64 %n_pointers, align 64
  %flag_byte = alloca i8
  %node_params = alloca [9 x i64], align 8
  %is_there = icmp ne ptr %rt, null
  br i1 %is_there, label %enter, label %entered
enter:
  %context = call ptr @of_device(ptr %rt, i64 7)
  %set_current = call ptr @function(ptr %rt, i64 0)
  %set_r = call i32 %set_current(ptr %context)
  %n_nodes_p0 = getelementptr i64, ptr %rt, i64 10
  store i64 0, ptr %n_nodes_p0
  %set_fine = icmp eq i32 %set_r, 0
  br i1 %set_fine, label %entered, label %driver_refused
entered:"""

# a number stands in the arguments themselves; the address of its place is what the driver wants to have
_FILLED = """
  %place_of = and i64 %w, {ADDRESS_MASK}
  %is_number = icmp eq i64 %place_of, 1
  %pointer = select i1 %is_number, ptr %a, ptr %b
  %pointer_p = getelementptr ptr, ptr %pointers, i64 %k
  store ptr %pointer, ptr %pointer_p"""

_LAUNCHED = """  %kernel_number = load i64, ptr %kernel
  %blocks_w = call i64 @word(ptr %kernel, i64 1)
  %threads64 = call i64 @word(ptr %kernel, i64 2)
  %shared64 = call i64 @word(ptr %kernel, i64 3)
  %n_params = call i64 @word(ptr %kernel, i64 4)
  br label %pass
pass:
  %j = phi i64 [ 0, %launched ], [ %j1, %passed ]
  %more_params = icmp slt i64 %j, %n_params
  br i1 %more_params, label %passed, label %sized
passed:
  %param_p = getelementptr i64, ptr %parameters, i64 %j
  %param_at = add i64 %n, %j
  %param_pp = getelementptr ptr, ptr %pointers, i64 %param_at
  store ptr %param_p, ptr %param_pp
  %j1 = add i64 %j, 1
  br label %pass
sized:
  %status_at = add i64 %n, %n_params
  %status_pp = getelementptr ptr, ptr %pointers, i64 %status_at
  %status_p = getelementptr ptr, ptr %rt, i64 5
  store ptr %status_p, ptr %status_pp
  %known = icmp sge i64 %blocks_w, 0
  br i1 %known, label %grid, label %asked_grid
asked_grid:
  %which = xor i64 %blocks_w, -1
  %blocks_given = call i64 @word(ptr %parameters, i64 %which)
  br label %grid
grid:
  %blocks = phi i64 [ %blocks_w, %sized ], [ %blocks_given, %asked_grid ]
  %is_copy = icmp slt i64 %kernel_number, 0
  br i1 %is_copy, label %copies, label %counted
counted:
  %is_empty = icmp sle i64 %blocks, 0
  br i1 %is_empty, label %next, label %limited
limited:
  %is_large = icmp sgt i64 %blocks, 2147483647
  br i1 %is_large, label %large, label %go_on
go_on:
  %kernels_p = call ptr @of_device(ptr %rt, i64 4)
  %kernel_f = call ptr @of_device(ptr %kernels_p, i64 %kernel_number)
  %blocks32 = trunc i64 %blocks to i32
  %threads32 = trunc i64 %threads64 to i32
  %shared32 = trunc i64 %shared64 to i32
  %way = call i64 @word(ptr %rt, i64 1)
  %straight = icmp eq i64 %way, 0
  br i1 %straight, label %launches, label %noted
launches:
  %stream = call ptr @of_device(ptr %rt, i64 3)
  %launch_kernel = call ptr @function(ptr %rt, i64 1)
  %launch_r = call i32 %launch_kernel(ptr %kernel_f, i32 %blocks32, i32 1, i32 1, i32 %threads32, i32 1, i32 1, i32 %shared32,
    ptr %stream, ptr %pointers, ptr null)
  br label %answered
copies:
  %copy_to = load ptr, ptr %buffers
  %copy_from_p = getelementptr ptr, ptr %buffers, i64 1
  %copy_from = load ptr, ptr %copy_from_p
  %copy_n = load i64, ptr %parameters
  %copy_stream = call ptr @of_device(ptr %rt, i64 3)
  %copy_f = call ptr @function(ptr %rt, i64 2)
  %copy_r = call i32 %copy_f(ptr %copy_to, ptr %copy_from, i64 %copy_n, ptr %copy_stream)
  br label %answered
noted:
  %np0 = getelementptr i8, ptr %node_params, i64 0
  store ptr %kernel_f, ptr %np0
  %np8 = getelementptr i8, ptr %node_params, i64 8
  store i32 %blocks32, ptr %np8
  %np12 = getelementptr i8, ptr %node_params, i64 12
  store i32 1, ptr %np12
  %np16 = getelementptr i8, ptr %node_params, i64 16
  store i32 1, ptr %np16
  %np20 = getelementptr i8, ptr %node_params, i64 20
  store i32 %threads32, ptr %np20
  %np24 = getelementptr i8, ptr %node_params, i64 24
  store i32 1, ptr %np24
  %np28 = getelementptr i8, ptr %node_params, i64 28
  store i32 1, ptr %np28
  %np32 = getelementptr i8, ptr %node_params, i64 32
  store i32 %shared32, ptr %np32
  %np40 = getelementptr i8, ptr %node_params, i64 40
  store ptr %pointers, ptr %np40
  %np48 = getelementptr i8, ptr %node_params, i64 48
  store ptr null, ptr %np48
  %np56 = getelementptr i8, ptr %node_params, i64 56
  store ptr null, ptr %np56
  %np64 = getelementptr i8, ptr %node_params, i64 64
  store ptr null, ptr %np64
  %graph = call ptr @of_device(ptr %rt, i64 8)
  %nodes = call ptr @of_device(ptr %rt, i64 9)
  %n_nodes_p = getelementptr i64, ptr %rt, i64 10
  %n_nodes = load i64, ptr %n_nodes_p
  %node_p = getelementptr ptr, ptr %nodes, i64 %n_nodes
  %n_nodes1 = add i64 %n_nodes, 1
  store i64 %n_nodes1, ptr %n_nodes_p
  %adding = icmp eq i64 %way, 1
  br i1 %adding, label %adds, label %gives
adds:
  %before_at = sub i64 %n_nodes, 1
  %before_p = getelementptr ptr, ptr %nodes, i64 %before_at
  %follows = icmp sgt i64 %n_nodes, 0
  %n_before = zext i1 %follows to i64
  %before = select i1 %follows, ptr %before_p, ptr null
  %add_node = call ptr @function(ptr %rt, i64 4)
  %added_r = call i32 %add_node(ptr %node_p, ptr %graph, ptr %before, i64 %n_before, ptr %node_params)
  br label %answered
gives:
  %node = load ptr, ptr %node_p
  %give_params = call ptr @function(ptr %rt, i64 5)
  %given_r = call i32 %give_params(ptr %graph, ptr %node, ptr %node_params)
  br label %answered
answered:
  %driver_r = phi i32 [ %launch_r, %launches ], [ %copy_r, %copies ], [ %added_r, %adds ], [ %given_r, %gives ]
  %driver_fine = icmp eq i32 %driver_r, 0
  br i1 %driver_fine, label %next, label %driver_refused
driver_refused:
  %refused_r = phi i32 [ %driver_r, %answered ], [ %set_r, %enter ], [ %read_r, %skip ], [ %read_s, %waits ]
  %refused_64 = zext i32 %refused_r to i64
  %refused_code = or i64 %refused_64, {REFUSED}
  br label %refused
"""

# whether a byte there is 0: the host waits for it
_FLAG = """  %read_stream = call ptr @of_device(ptr %rt, i64 3)
  %read_f = call ptr @function(ptr %rt, i64 2)
  %read_r = call i32 %read_f(ptr %flag_byte, ptr %flag_p, i64 1, ptr %read_stream)
  %read_fine = icmp eq i32 %read_r, 0
  br i1 %read_fine, label %waits, label %driver_refused
waits:
  %wait_f = call ptr @function(ptr %rt, i64 3)
  %read_s = call i32 %wait_f(ptr %read_stream)
  %wait_fine = icmp eq i32 %read_s, 0
  br i1 %wait_fine, label %flagged, label %driver_refused
flagged:
  %flag = load i8, ptr %flag_byte
"""
_SO_FAR = """  %status_here = call ptr @of_device(ptr %rt, i64 6)
  %so_far = load volatile i64, ptr %status_here
"""

WAYS = {
    "KERNELS": _DECLARED, "LAUNCHED": _LAUNCHED.replace("{REFUSED}", str(REFUSED)), "FLAG": _FLAG, "SO_FAR": _SO_FAR, "BEGIN": _BEGIN,
    "FILLED": _FILLED, "WHY": ", [ %refused_code, %driver_refused ]",
    "LAUNCHED_PHI": "[ %after_launch, %counted ], [ %after_launch, %answered ]",
    "SKIPPED": "%flagged", "ENTERED": "%entered",
}  # fmt: skip
