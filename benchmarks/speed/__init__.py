"""How fast each stage is, and how close to what the machine allows: measured side by side in one run.

`make bench`, or `python -m benchmarks.speed --sites 24 --plates 2 --peer`. What is measured, and how:

- Every measurement is a process of its own, timed from outside (`launch`): wall time, CPU seconds of it and
  its children, peak memory. Stages run at two sizes, so that start-up and the cost of one more site separate
  (`costs`).
- Stages run through the real assets, in process with Dagster, by the function that `dp-assets run` calls too
  (`stage_process`). The command itself would do, but a stage of the command is more than what is compared:
  `prepare` also looks at the quality of images, which is measured separately here.
- Limits are measured in the same run, on the same files and with the same codecs, libraries and network
  (`image_limits`, `network_limits`).
- Results are JSON of raw numbers; `benchmarks/results/` keeps one for each release and source, named
  `speed-<version>-<source>.json` and `scaling-<version>.json`. `benchmarks.compare` holds two against each
  other, `benchmarks.performance_page` writes `docs/performance.md` from them.
- The peer is the released DeepProfiler, in a virtual environment of its own, on the same files (`peer`).
"""
