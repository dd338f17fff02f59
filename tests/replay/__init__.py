"""Replay: the machine code of a fixed corpus of graphs, compared with what it was.

    python -m tests.replay                      compile the corpus for every level, compare with digests.txt
    python -m tests.replay --against COMMIT     compare with the digests of another commit
    python -m tests.replay --level x86-64-v3    one level only
    python -m tests.replay --bless              rewrite digests.txt

A commit that only moves code changes no digest. One that means to change machine code rewrites them and says why; so the
history of digests.txt is the list of these commits. A change of the graphs themselves (another rule of a derivative, say)
shows apart from a change of the code for the same graphs.
"""
