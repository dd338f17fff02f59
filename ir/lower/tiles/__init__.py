"""Tiled contractions: matrix products and convolutions on packed register tiles.

Rows of A are broadcast from where they lie, but for rows that lie across k: an item gathers those of a tile first. B is
packed into panels [k][columns] of whole vectors; a tile of rows times the columns of a panel stays in registers over all of k,
and the elementwise ops that follow are applied before it is stored. Those of integers, and of bfloat16 where a machine multiplies it,
have a schedule of their own, in which several elements share a word; so have windows of 3 x 3: Winograd's.
"""
