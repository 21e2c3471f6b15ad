"""What the stock client takes for everyday calls, as one JSON object: client.py EXPERIMENT RUNS"""

import json
import sys
import time

import mlflow

experiment, expected = sys.argv[1], int(sys.argv[2])
values = {}

begin = time.perf_counter()
mlflow.set_experiment("bench-client")
run = mlflow.start_run()
values["set_up"] = (time.perf_counter() - begin) * 1000

for name, log in {
    "log_metric": lambda i: mlflow.log_metric("loss", 1 / (i + 1), step=i),
    "log_metrics": lambda i: mlflow.log_metrics({f"m{k}": i + k for k in range(10)}, step=i),
}.items():
    begin, i = time.perf_counter(), 0
    while time.perf_counter() - begin < 2:
        log(i)
        i += 1
    values[name] = i / (time.perf_counter() - begin)
mlflow.end_run()

begin = time.perf_counter()
runs = mlflow.search_runs(experiment_ids=[experiment], output_format="list")
values["search_runs"] = time.perf_counter() - begin
if len(runs) != expected:
    sys.exit(f"search_runs found {len(runs)} runs, expected {expected}")
print(json.dumps(values))
