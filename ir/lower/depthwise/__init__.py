"""Depthwise convolutions: windows of one channel each, whose sums stay in registers for some results in a row.

Lanes run over the channels where these lie last, else along the last spatial dim; a tile is some results along the dim before that.
Every tap is one load of the input for all results that need it, and one of the weight. Where lanes run along a spatial dim, an item sets
what it reads among its zeros first (staged.py), so that no tap needs a mask, and results that are a stride apart read what lies together;
else tiles whose windows lie within the input read without masks.
"""
