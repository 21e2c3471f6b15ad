"""The calls of the API that the suites have to make, by method and path; {x} stands for one element, {x...} for several.

A suite that brings new calls adds them to WANTED.
"""

import re

V2, V3, AJAX, FILES = "/api/2.0/mlflow", "/api/3.0/mlflow", "/ajax-api/2.0/mlflow", "/api/2.0/mlflow-artifacts/artifacts"

WANTED = [
    # Handshakes.
    "GET /health", "GET /version", f"GET {V3}/server-info",
    # Experiments.
    f"POST {V2}/experiments/create", f"GET {V2}/experiments/get", f"GET {V2}/experiments/get-by-name",
    f"POST {V2}/experiments/search", f"GET {V2}/experiments/search", f"POST {V2}/experiments/delete",
    f"POST {V2}/experiments/restore", f"POST {V2}/experiments/update", f"POST {V2}/experiments/set-experiment-tag",
    f"POST {V2}/experiments/delete-experiment-tag",
    # Runs.
    f"POST {V2}/runs/create", f"GET {V2}/runs/get", f"POST {V2}/runs/update", f"POST {V2}/runs/delete",
    f"POST {V2}/runs/restore", f"POST {V2}/runs/search", f"POST {V2}/runs/log-metric", f"POST {V2}/runs/log-parameter",
    f"POST {V2}/runs/set-tag", f"POST {V2}/runs/delete-tag", f"POST {V2}/runs/log-batch", f"POST {V2}/runs/log-model",
    # Metrics.
    f"GET {V2}/metrics/get-history", f"GET {V2}/metrics/get-history-bulk-interval",
    f"GET {AJAX}/metrics/get-history-bulk", f"GET {AJAX}/metrics/get-history-bulk-interval",
    # Inputs, outputs, data sets.
    f"POST {V2}/runs/log-inputs", f"POST {V2}/runs/outputs", f"POST {AJAX}/experiments/search-datasets",
    "POST /api/2.0mlflow/experiments/search-datasets",
    # Logged models.
    f"POST {V2}/logged-models", f"PATCH {V2}/logged-models/{{x}}", f"GET {V2}/logged-models/{{x}}",
    f"DELETE {V2}/logged-models/{{x}}", f"POST {V2}/logged-models/search", f"PATCH {V2}/logged-models/{{x}}/tags",
    f"DELETE {V2}/logged-models/{{x}}/tags/{{x}}", f"GET {V2}/logged-models/{{x}}/artifacts/directories",
    f"POST {V2}/logged-models/{{x}}/params",
    # Registered models.
    f"POST {V2}/registered-models/create", f"POST {V2}/registered-models/rename", f"PATCH {V2}/registered-models/update",
    f"DELETE {V2}/registered-models/delete", f"GET {V2}/registered-models/get", f"GET {V2}/registered-models/search",
    f"POST {V2}/registered-models/get-latest-versions", f"GET {V2}/registered-models/get-latest-versions",
    f"POST {V2}/registered-models/set-tag", f"DELETE {V2}/registered-models/delete-tag",
    f"POST {V2}/registered-models/alias", f"DELETE {V2}/registered-models/alias", f"GET {V2}/registered-models/alias",
    # Model versions.
    f"POST {V2}/model-versions/create", f"PATCH {V2}/model-versions/update", f"POST {V2}/model-versions/transition-stage",
    f"DELETE {V2}/model-versions/delete", f"GET {V2}/model-versions/get", f"GET {V2}/model-versions/search",
    f"GET {V2}/model-versions/get-download-uri", f"POST {V2}/model-versions/set-tag", f"DELETE {V2}/model-versions/delete-tag",
    # Artifacts.
    f"GET {V2}/artifacts/list", "GET /get-artifact", "GET /model-versions/get-artifact",
    f"GET {FILES}", f"PUT {FILES}/{{x...}}", f"GET {FILES}/{{x...}}", f"DELETE {FILES}/{{x...}}",
    f"GET {AJAX}/logged-models/{{x}}/artifacts/files",
    # Traces.
    f"POST {V3}/traces", f"GET {V3}/traces/{{x}}", f"GET {V3}/traces/get", f"GET {V3}/traces/batchGet",
    f"POST {V3}/traces/batchGetInfos", f"POST {V3}/traces/search", f"POST {V3}/traces/calculate-filter-correlation",
    f"POST {V3}/traces/metrics", f"PATCH {V3}/traces/{{x}}/tags", f"DELETE {V3}/traces/{{x}}/tags",
    f"DELETE {V2}/traces/{{x}}/tags",
    f"POST {V3}/traces/{{x}}/assessments", f"GET {V3}/traces/{{x}}/assessments/{{x}}",
    f"PATCH {V3}/traces/{{x}}/assessments/{{x}}", f"DELETE {V3}/traces/{{x}}/assessments/{{x}}",
    f"POST {V2}/traces", f"PATCH {V2}/traces/{{x}}", f"GET {V2}/traces/{{x}}/info", f"GET {V2}/traces",
    f"POST {V2}/traces/delete-traces", f"POST {V2}/traces/link-to-run", f"POST {V2}/traces/link-prompts",
    "GET /ajax-api/3.0/mlflow/get-trace-artifact", "POST /v1/traces",
]


def pattern(call):
    text = re.escape(call).replace(re.escape("{x...}"), ".+").replace(re.escape("{x}"), "[^/]+")
    return re.compile(text.replace(re.escape(" "), " ") + "/?")


PATTERNS = {call: pattern(call) for call in WANTED}


def made(seen):
    sent = [f"{method} {path}" for method, path in seen]
    return [call for call, p in PATTERNS.items() if any(p.fullmatch(s) for s in sent)]


def missing(seen):
    return sorted(set(WANTED) - set(made(seen)))
