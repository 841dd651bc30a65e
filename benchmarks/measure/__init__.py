"""How a case is measured, each repeat in a fresh process.

`BenchmarkCase.measure` is either `module:function`, called by worker.py in its process as
`function(flags, seconds, **case.arguments)` to return parts of a row (docs/benchmarks.md); or the
name of a module whose `command(case, seed, answer_path)` returns the command of a program, or, in
words, why there is none, and whose `as_row(case, answer, wall_seconds)` returns parts of a row from
the JSON that the program wrote.
"""

RUN = "benchmarks.measure.training:measure_run"
RATE = "benchmarks.measure.training:measure_rate"
INPUT = "benchmarks.measure.input:measure_input"
TIME_TO_TARGET = "benchmarks.measure.accuracy:measure_time_to_target"
WORKERS_RATE = "benchmarks.measure.workers:measure_workers_rate"
PEER = "benchmarks.peers.launch"
