"""A soak of the whole program: plates arrive, processes are killed at random, and everything has to come out.

`make soak`, or `python -m benchmarks.soak --plates 40 --minutes 20 --seed 1`.
"""
