"""What all targets share: statements of the loop IR become functions in LLVM IR text.

A function is written by one object whose class is built up in layers, each a file with one subject:

    writer.py         names, blocks, scopes and what is hoisted out of them; a module's declarations
    address.py        index expressions, lanes
    memory.py         loads and stores
    accumulators.py   accumulators in SSA form
    loops.py          branches, loops, vector loops
    function.py       the statements; what a target adds or decides is a method to override

beside them `values.py` (types and literals), `instructions.py` and `conversions.py` (the closed list of scalar instructions),
`emitter.py` (what is written over that list, such as folds), `helpers.py` (functions that replace a library), `rare.py`, and
`level.py`: what all of this asks of a target. `codegen.py` makes objects and assembly of the text.
"""
