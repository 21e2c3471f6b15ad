"""Calls that the client makes only in part or not at all: old clients, the web page, other languages."""

import json
import math
import unittest

from suite import URI, Case, name

import requests
from mlflow.entities import Metric, ViewType

V2 = "/api/2.0/mlflow/"
AJAX = "/ajax-api/2.0/mlflow/"


class Plain(Case):
    def test_experiments_by_get_and_by_post(self):
        n = name("both")
        id = self.post(V2 + "experiments/create", name=n, tags=[{"key": "a", "value": "b"}])["experiment_id"]
        self.assertIsInstance(id, str)
        want = {"name": n, "experiment_id": id, "tags": [{"key": "a", "value": "b"}], "lifecycle_stage": "active"}
        for got in [
            self.get(V2 + "experiments/get", experiment_id=id)["experiment"],
            self.get(V2 + "experiments/get-by-name", experiment_name=n)["experiment"],
            self.get(V2 + "experiments/search", filter=f"name = '{n}'", max_results=5)["experiments"][0],
            self.post(V2 + "experiments/search", filter=f"name = '{n}'", max_results=5)["experiments"][0],
            self.get(AJAX + "experiments/get", experiment_id=id)["experiment"],
        ]:
            self.assertEqual({k: got[k] for k in want}, want)
            self.assertIsInstance(got["creation_time"], int)
        for kwargs in [{}, {"max_results": 0}, {"max_results": 50001}]:
            r = requests.get(URI + V2 + "experiments/search", params=kwargs)
            self.assertEqual((r.status_code, r.json()["error_code"]), (400, "INVALID_PARAMETER_VALUE"), kwargs)

    def test_a_body_where_a_query_is_meant(self):
        r = requests.get(URI + V2 + "experiments/get", json={"experiment_id": "0"})
        self.assertEqual(r.json()["experiment"]["name"], "Default")

    def test_required_fields(self):
        for call, body, field in [
            ("experiments/create", {}, "name"), ("experiments/delete", {}, "experiment_id"), ("runs/update", {}, "run_id"),
            ("runs/log-metric", {"run_id": "a"}, "key"), ("runs/log-parameter", {"run_id": "a"}, "key"),
            ("runs/set-tag", {"run_id": "a"}, "key"), ("runs/delete-tag", {}, "run_id"),
            ("registered-models/create", {}, "name"), ("registered-models/rename", {"name": "a"}, "new_name"),
            ("model-versions/create", {"name": "a"}, "source"), ("model-versions/transition-stage", {"name": "a"}, "version"),
        ]:
            r = requests.post(URI + V2 + call, json=body)
            self.assertEqual((r.status_code, r.json()["error_code"]), (400, "INVALID_PARAMETER_VALUE"), call)
            self.assertIn(f"Missing value for required parameter '{field}'", r.json()["message"], call)

    def test_wrong_types(self):
        for call, body in [
            ("experiments/create", {"name": 1}), ("experiments/create", {"name": ["a"]}),
            ("experiments/search", {"max_results": "many"}), ("runs/create", {"experiment_id": self.experiment, "start_time": "soon"}),
            ("runs/create", {"experiment_id": self.experiment, "tags": "a"}), ("runs/search", {"experiment_ids": "0"}),
            ("runs/search", {"experiment_ids": [self.experiment], "run_view_type": "SOME"}),
            ("registered-models/create", {"name": {"a": 1}}),
        ]:
            r = requests.post(URI + V2 + call, json=body)
            self.assertEqual((r.status_code, r.json()["error_code"]), (400, "INVALID_PARAMETER_VALUE"), (call, body, r.text))

    def test_statuses(self):
        for method, call, kwargs, status, code in [
            ("GET", "experiments/get", {"params": {"experiment_id": "99999999"}}, 404, "RESOURCE_DOES_NOT_EXIST"),
            ("GET", "runs/get", {"params": {"run_id": "a" * 32}}, 404, "RESOURCE_DOES_NOT_EXIST"),
            ("GET", "registered-models/get", {"params": {"name": "none such"}}, 404, "RESOURCE_DOES_NOT_EXIST"),
            ("POST", "experiments/create", {"json": {"name": "Default"}}, 400, "RESOURCE_ALREADY_EXISTS"),
            ("GET", "nothing/here", {}, 404, "ENDPOINT_NOT_FOUND"),
        ]:
            r = requests.request(method, URI + V2 + call, **kwargs)
            self.assertEqual((r.status_code, r.json()["error_code"]), (status, code), (call, r.text))
            self.assertTrue(r.json()["message"])
            self.assertEqual(r.headers["Content-Type"].split(";")[0], "application/json")

    def test_old_names_of_fields(self):
        run = self.post(V2 + "runs/create", experiment_id=self.experiment, start_time=5, user_id="me", run_name="r")["run"]["info"]
        self.assertEqual((run["run_uuid"], run["run_id"]), (run["run_id"],) * 2)
        self.assertEqual((run["start_time"], run["user_id"], run["run_name"], run["status"]), (5, "me", "r", "RUNNING"))
        self.assertEqual(self.post(V2 + "runs/set-tag", run_uuid=run["run_id"], key="k", value="v"), {})
        self.assertEqual(self.get(V2 + "runs/get", run_uuid=run["run_id"])["run"]["info"]["run_id"], run["run_id"])
        got = self.post(V2 + "runs/update", run_uuid=run["run_id"], status="FINISHED", end_time=9)["run_info"]
        self.assertEqual((got["status"], got["end_time"], got["lifecycle_stage"]), ("FINISHED", 9, "active"))

    def test_log_model_of_old_clients(self):
        run = self.run_id()
        model = {"artifact_path": "model", "flavors": {"python_function": {}}, "utc_time_created": "2020-01-01", "run_id": run}
        self.assertEqual(self.post(V2 + "runs/log-model", run_id=run, model_json=json.dumps(model)), {})
        tag = json.loads(self.client.get_run(run).data.tags["mlflow.log-model.history"])
        self.assertEqual([m["artifact_path"] for m in tag], ["model"])
        for text in ["not json", "{}"]:
            r = requests.post(URI + V2 + "runs/log-model", json={"run_id": run, "model_json": text})
            self.assertEqual((r.status_code, r.json()["error_code"]), (400, "INVALID_PARAMETER_VALUE"))


class Histories(Case):
    def setUp(self):
        super().setUp()
        self.runs = [self.run_id() for _ in range(3)]
        for n, run in enumerate(self.runs):
            self.client.log_batch(run, [Metric("m", float(i), 100 + i, i) for i in range(200 * n)] + [Metric("nan", math.nan, 1, 1)])

    def test_bulk(self):
        got = self.get(AJAX + "metrics/get-history-bulk", run_id=self.runs, metric_key="m")["metrics"]
        self.assertEqual(len(got), 600)
        self.assertEqual([m["step"] for m in got if m["run_id"] == self.runs[1]], list(range(200)))
        self.assertEqual(len(self.get(AJAX + "metrics/get-history-bulk", run_id=self.runs, metric_key="m", max_results=10)["metrics"]), 10)
        for params in [{"metric_key": "m"}, {"run_id": self.runs}, {"run_id": ["r"] * 101, "metric_key": "m"}]:
            r = requests.get(URI + AJAX + "metrics/get-history-bulk", params=params)
            self.assertEqual((r.status_code, r.json()["error_code"]), (400, "INVALID_PARAMETER_VALUE"), params)

    def test_interval(self):
        for path in [V2, AJAX]:
            got = self.get(path + "metrics/get-history-bulk-interval", run_ids=self.runs, metric_key="m", max_results=20)["metrics"]
            for run, last in [(self.runs[1], 199), (self.runs[2], 399)]:
                steps = [m["step"] for m in got if m["run_id"] == run]
                self.assertEqual((steps[0], steps[-1]), (0, last))
                self.assertLessEqual(len(steps), 22)
                self.assertEqual(steps, sorted(set(steps)))
            got = self.get(path + "metrics/get-history-bulk-interval", run_ids=self.runs[1:2], metric_key="m", start_step=10, end_step=19, max_results=100)["metrics"]
            self.assertEqual([m["step"] for m in got], list(range(10, 20)))
        for params in [
            {"metric_key": "m"}, {"run_ids": self.runs, "metric_key": "m", "start_step": 1}, {"run_ids": self.runs, "metric_key": "m", "start_step": 9, "end_step": 1},
            {"run_ids": self.runs, "metric_key": "m", "max_results": 2501}, {"run_ids": ["r"] * 101, "metric_key": "m"},
        ]:
            r = requests.get(URI + V2 + "metrics/get-history-bulk-interval", params=params)
            self.assertEqual((r.status_code, r.json()["error_code"]), (400, "INVALID_PARAMETER_VALUE"), params)

    def test_one(self):
        got = self.get(V2 + "metrics/get-history", run_id=self.runs[1], metric_key="nan", max_results=5)["metrics"]
        self.assertEqual([(m["value"], m["timestamp"], m["step"]) for m in got], [("NaN", 1, 1)])
        self.assertTrue(math.isnan(self.client.get_metric_history(self.runs[1], "nan")[0].value))
        self.assertEqual(self.get(V2 + "metrics/get-history", run_id=self.runs[1], metric_key="none"), {})


class Pages(Case):
    def test_file_of_a_version(self):
        run, n = self.run_id(), name("reg")
        self.client.log_text(run, "weights", "model/w.txt")
        self.client.create_registered_model(n)
        self.client.create_model_version(n, self.client.get_run(run).info.artifact_uri + "/model", run_id=run)
        r = requests.get(URI + "/model-versions/get-artifact", params={"name": n, "version": "1", "path": "w.txt"})
        self.assertEqual((r.status_code, r.text), (200, "weights"))
        r = requests.get(URI + "/model-versions/get-artifact", params={"name": n, "version": "1", "path": "../w.txt"})
        self.assertEqual(r.status_code, 400)

    def test_list_of_the_proxy(self):
        run = self.run_id()
        self.client.log_text(run, "1", "d/one.txt")
        got = self.get("/api/2.0/mlflow-artifacts/artifacts", path=f"{self.experiment}/{run}/artifacts")["files"]
        self.assertEqual([(f["path"], f["is_dir"]) for f in got], [("d", True)])
        got = self.get("/api/2.0/mlflow-artifacts/artifacts", path=f"{self.experiment}/{run}/artifacts/d")["files"]
        self.assertEqual([(f["path"], f["is_dir"], f["file_size"]) for f in got], [("one.txt", False, 1)])

    def test_views(self):
        gone, kept = self.run_id(), self.run_id()
        self.client.delete_run(gone)
        for view, want in [("ACTIVE_ONLY", {kept}), ("DELETED_ONLY", {gone}), ("ALL", {gone, kept})]:
            got = self.post(V2 + "runs/search", experiment_ids=[self.experiment], run_view_type=view)["runs"]
            self.assertEqual({r["info"]["run_id"] for r in got}, want)
            self.assertEqual({r.info.run_id for r in self.client.search_runs([self.experiment], run_view_type=ViewType.from_string(view.lower()))}, want)

    def test_latest_versions_by_get_and_by_post(self):
        n = name("latest")
        self.client.create_registered_model(n)
        for _ in range(2):
            self.client.create_model_version(n, "s3://bucket/key")
        self.client.transition_model_version_stage(n, "1", "Staging")
        for got in [self.get(V2 + "registered-models/get-latest-versions", name=n), self.post(V2 + "registered-models/get-latest-versions", name=n)]:
            self.assertEqual({v["current_stage"]: v["version"] for v in got["model_versions"]}, {"None": "2", "Staging": "1"})
        got = self.get(V2 + "registered-models/get-latest-versions", name=n, stages=["Staging"])["model_versions"]
        self.assertEqual([v["version"] for v in got], ["1"])


if __name__ == "__main__":
    unittest.main()
