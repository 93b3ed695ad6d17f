"""How fast the operators are on this machine, beside other people's implementations.

`problems` says what is computed and how many operations that takes, `contenders` who computes it,
`devices/` holds one file a device: the shapes measured there and the rivals. `timing` lets
contenders take turns; `measure`, `decode` and `sweep` are the three measurements, `show` and
`figure` how they are read.
"""
