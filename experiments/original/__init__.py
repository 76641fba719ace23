"""The original Memory Maze, in a Python of its own, beside ours: `python -m experiments.cross_evaluate`.

`server` runs there, `processes` talks to it, `ported` makes our states of the original's, `play` lets a policy play it,
`replay` plays the same actions in both.
"""
