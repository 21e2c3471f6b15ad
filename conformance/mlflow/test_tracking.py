"""The unmodified mlflow client against a running tracking server.

Started by conformance_test.go, which sets MLFLOW_TRACKING_URI. By hand:
    go run ./conformance/mlflow/serve --data-dir /tmp/t --listen 127.0.0.1:7990 &
    MLFLOW_TRACKING_URI=http://127.0.0.1:7990 .venv/bin/python conformance/mlflow/run.py test_tracking
"""

import json
import math
import os
import tempfile
import unittest
import urllib.parse
from pathlib import Path

from suite import API, URI, Case, name

import mlflow
import numpy as np
import requests
from mlflow.entities import Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException, RestException


class Experiments(Case):
    def test_default(self):
        self.assertEqual(self.client.get_experiment("0").name, "Default")

    def test_set_experiment_makes_and_finds(self):
        n = name("set")
        first = mlflow.set_experiment(n)
        self.assertEqual(mlflow.set_experiment(n).experiment_id, first.experiment_id)

    def test_life_cycle(self):
        c, e = self.client, self.experiment
        run = self.run_id()
        c.set_experiment_tag(e, "team", "vision")
        c.rename_experiment(e, new := name("renamed"))
        got = c.get_experiment_by_name(new)
        self.assertEqual((got.experiment_id, got.tags), (e, {"team": "vision"}))
        c.delete_experiment_tag(e, "team")
        self.assertEqual(c.get_experiment(e).tags, {})
        c.delete_experiment(e)
        self.assertEqual(c.get_experiment(e).lifecycle_stage, "deleted")
        self.assertEqual(c.get_run(run).info.lifecycle_stage, "deleted")
        self.refused("RESOURCE_ALREADY_EXISTS", "already exists", c.create_experiment, new)
        self.refused("INVALID_PARAMETER_VALUE", "'active' state", c.create_run, e)
        c.restore_experiment(e)
        self.assertEqual(c.get_run(run).info.lifecycle_stage, "active")

    def test_search(self):
        mark = name("m")
        ids = [self.client.create_experiment(f"{mark}-{i}", tags={"mark": mark, "i": str(i)}) for i in range(5)]
        found = self.client.search_experiments(filter_string=f"tags.mark = '{mark}'", order_by=["name DESC"], max_results=2)
        self.assertEqual([e.experiment_id for e in found], [ids[4], ids[3]])
        more = self.client.search_experiments(filter_string=f"tags.mark = '{mark}'", order_by=["name DESC"], max_results=2, page_token=found.token)
        self.assertEqual([e.experiment_id for e in more], [ids[2], ids[1]])
        self.assertEqual([e.experiment_id for e in self.client.search_experiments(filter_string=f"name LIKE '{mark}%' AND tags.i = '3'")], [ids[3]])
        self.client.delete_experiment(ids[0])
        found = self.client.search_experiments(view_type=ViewType.DELETED_ONLY, filter_string=f"name LIKE '{mark}%'")
        self.assertEqual([e.experiment_id for e in found], [ids[0]])

    def test_missing(self):
        self.assertIsNone(self.client.get_experiment_by_name("no such experiment"))
        self.refused("RESOURCE_DOES_NOT_EXIST", "No Experiment with id=987654 exists", self.client.get_experiment, "987654")
        self.refused("INVALID_PARAMETER_VALUE", "must be a valid integer", self.client.get_experiment, "abc")


class Runs(Case):
    def test_fluent(self):
        mlflow.set_experiment(experiment_id=self.experiment)
        with mlflow.start_run(run_name="first", tags={"a": "b"}, description="what") as run:
            mlflow.log_param("depth", 3)
            mlflow.log_params({"lr": 0.1, "name": "Grüße"})
            mlflow.log_metric("loss", 0.5, step=1)
            mlflow.log_metrics({"loss": 0.25, "acc": 0.9}, step=2)
            mlflow.set_tags({"stage": "dev"})
        got = mlflow.get_run(run.info.run_id)
        self.assertEqual(got.info.status, "FINISHED")
        self.assertGreaterEqual(got.info.end_time, got.info.start_time)
        self.assertEqual(got.info.run_name, "first")
        self.assertEqual(got.data.params, {"depth": "3", "lr": "0.1", "name": "Grüße"})
        self.assertEqual(got.data.metrics, {"loss": 0.25, "acc": 0.9})
        self.assertEqual(got.data.tags["stage"], "dev")
        self.assertEqual(got.data.tags["mlflow.note.content"], "what")

    def test_name_and_tag_are_one(self):
        run = self.run_id(run_name="one")
        self.client.set_tag(run, "mlflow.runName", "two")
        self.assertEqual(self.client.get_run(run).info.run_name, "two")
        self.client.update_run(run, name="three", status="KILLED")
        got = self.client.get_run(run)
        self.assertEqual((got.data.tags["mlflow.runName"], got.info.status), ("three", "KILLED"))
        self.assertTrue(self.client.create_run(self.experiment).info.run_name)

    def test_tags_and_deletion(self):
        run = self.run_id()
        self.client.set_tag(run, "x", "1")
        self.client.delete_tag(run, "x")
        self.refused("RESOURCE_DOES_NOT_EXIST", "No tag with name: x", self.client.delete_tag, run, "x")
        self.client.delete_run(run)
        self.refused("INVALID_PARAMETER_VALUE", "must be in the 'active' state", self.client.log_metric, run, "m", 1)
        self.client.restore_run(run)
        self.client.log_metric(run, "m", 1)

    def test_params_do_not_change(self):
        run = self.run_id()
        self.client.log_param(run, "p", "a")
        self.client.log_param(run, "p", "a")
        self.refused("INVALID_PARAMETER_VALUE", "Changing param values is not allowed", self.client.log_param, run, "p", "b")
        self.refused("INVALID_PARAMETER_VALUE", "Changing param values is not allowed", self.client.log_batch, run,
                     [Metric("m", 1, 1, 0)], [Param("q", "1"), Param("p", "b")], [])
        got = self.client.get_run(run).data
        self.assertEqual((got.params, got.metrics), ({"p": "a"}, {}), "a refused batch leaves nothing")

    def test_long_values_are_cut(self):
        run = self.run_id()
        self.client.log_param(run, "long", "ä" * 6001)
        self.client.set_tag(run, "long", "x" * 9000)
        got = self.client.get_run(run).data
        self.assertEqual(got.params["long"], "ä" * 6000)
        self.assertEqual(len(got.tags["long"]), 8000)

    def test_body_too_large(self):
        run = self.run_id()
        r = requests.post(API + "runs/log-parameter", json={"run_id": run, "key": "k", "value": "x" * (1 << 20)})
        self.assertEqual((r.status_code, r.json()["error_code"]), (400, "INVALID_PARAMETER_VALUE"))
        self.assertEqual(self.client.get_run(run).data.params, {})

    def test_missing_run(self):
        self.refused("RESOURCE_DOES_NOT_EXIST", "Run with id=0000 not found", self.client.get_run, "0000")
        self.refused("RESOURCE_DOES_NOT_EXIST", "not found", self.client.log_metric, "0000", "m", 1)
        self.refused("RESOURCE_DOES_NOT_EXIST", "not found", self.client.log_batch, "0000", [Metric("m", 1, 1, 0)])

    def test_inputs(self):
        mlflow.set_experiment(experiment_id=self.experiment)
        data = mlflow.data.from_numpy(np.arange(12).reshape(4, 3), source="https://example.org/d.csv", name="digits")
        with mlflow.start_run() as run:
            mlflow.log_input(data, context="training", tags={"fold": "1"})
        got = mlflow.get_run(run.info.run_id).inputs.dataset_inputs
        self.assertEqual(len(got), 1)
        self.assertEqual((got[0].dataset.name, got[0].dataset.digest), ("digits", data.digest))
        self.assertEqual({t.key: t.value for t in got[0].tags}, {"mlflow.data.context": "training", "fold": "1"})
        found = self.client.search_runs([self.experiment], "dataset.name = 'digits' AND datasets.context IN ('training', 'x')")
        self.assertEqual([r.info.run_id for r in found], [run.info.run_id])


class Metrics(Case):
    def test_history_and_latest(self):
        run = self.run_id()
        for step, ts, value in [(2, 100, 1.0), (1, 200, 2.0), (2, 300, -1.0), (2, 300, -2.0), (2, 300, -2.0)]:
            self.client.log_metric(run, "m", value, timestamp=ts, step=step)
        self.assertEqual([(m.timestamp, m.step, m.value) for m in self.client.get_metric_history(run, "m")],
                         [(100, 2, 1.0), (200, 1, 2.0), (300, 2, -2.0), (300, 2, -1.0)])
        self.assertEqual(self.client.get_run(run).data.metrics, {"m": -1.0})
        self.assertEqual(self.client.get_metric_history(run, "none"), [])

    def test_special_values(self):
        run = self.run_id()
        for key, value in {"nan": math.nan, "inf": math.inf, "ninf": -math.inf, "tiny": 5e-324, "third": 1 / 3, "big": 1e300}.items():
            self.client.log_metric(run, key, value)
        got = self.client.get_run(run).data.metrics
        self.assertTrue(math.isnan(got["nan"]))
        self.assertEqual((got["inf"], got["ninf"]), (1.7976931348623157e308, -1.7976931348623157e308))
        self.assertEqual((got["tiny"], got["third"], got["big"]), (5e-324, 1 / 3, 1e300))

    def test_batch_and_pages(self):
        run = self.run_id()
        for part in range(3):
            self.client.log_batch(run, [Metric("m", float(i), 1000 + i, i) for i in range(part * 900, part * 900 + 900)],
                                  [Param(f"p{part}", "v")], [RunTag(f"t{part}", "v")])
        self.assertEqual([m.step for m in self.client.get_metric_history(run, "m")], list(range(2700)))
        page = requests.get(API + "metrics/get-history", params={"run_id": run, "metric_key": "m", "max_results": 1000}).json()
        steps, token = [m["step"] for m in page["metrics"]], page["next_page_token"]
        while token:
            page = requests.get(API + "metrics/get-history", params={"run_id": run, "metric_key": "m", "max_results": 1000, "page_token": token}).json()
            steps += [m["step"] for m in page["metrics"]]
            token = page.get("next_page_token")
        self.assertEqual(steps, list(range(2700)))
        sample = requests.get(URI + "/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval",
                              params={"run_ids": [run], "metric_key": "m", "max_results": 10}).json()["metrics"]
        self.assertEqual((len(sample), sample[0]["step"], sample[-1]["step"]), (10, 0, 2699))

    def test_batch_limits(self):
        run = self.run_id()
        self.refused("INVALID_PARAMETER_VALUE", "at most 1000 metrics", self.raw_batch, run, metrics=[{"key": "m", "value": 1, "timestamp": i} for i in range(1001)])
        self.refused("INVALID_PARAMETER_VALUE", "at most 100 params", self.raw_batch, run, params=[{"key": str(i), "value": "v"} for i in range(101)])
        self.refused("INVALID_PARAMETER_VALUE", "Duplicate parameter keys", self.raw_batch, run, params=[{"key": "a", "value": "v"}] * 2)
        self.refused("INVALID_PARAMETER_VALUE", "metrics[1].value", self.raw_batch, run, metrics=[{"key": "m", "value": 1, "timestamp": 1}, {"key": "m", "timestamp": 1}])
        self.assertEqual(self.client.get_run(run).data.metrics, {})

    def raw_batch(self, run, **body):
        r = requests.post(API + "runs/log-batch", json={"run_id": run, **body})
        if r.status_code != 200:
            raise RestException(r.json())

    def test_wrong_types(self):
        run = self.run_id()
        for value, kind in {"abc": "str", True: "bool", None: None}.items():
            r = requests.post(API + "runs/log-metric", json={"run_id": run, "key": "m", "value": value, "timestamp": 1})
            self.assertEqual((r.status_code, r.json()["error_code"]), (400, "INVALID_PARAMETER_VALUE"))
            self.assertIn("'value'", r.json()["message"])
            if kind:
                self.assertIn(f"Value was of type '{kind}'", r.json()["message"])
        for body in [b"{", b"[1]", b'"x"', b"{} {}", b"\xff"]:
            r = requests.post(API + "runs/log-metric", data=body, headers={"Content-Type": "application/json"})
            self.assertEqual((r.status_code, r.json()["error_code"]), (400, "INVALID_PARAMETER_VALUE"), body)
        r = requests.post(API + "runs/log-metric", data=b"{}", headers={"Content-Type": "text/plain"})
        self.assertEqual((r.status_code, r.json()["error_code"]), (400, "INVALID_PARAMETER_VALUE"))
        for key in ["", "a//b", "../x", "/x", "a%", "x" * 251]:
            r = requests.post(API + "runs/log-metric", json={"run_id": run, "key": key, "value": 1, "timestamp": 1})
            self.assertEqual((r.status_code, r.json()["error_code"]), (400, "INVALID_PARAMETER_VALUE"), key)
        self.assertEqual(self.client.get_run(run).data.metrics, {})

    def test_strings_and_double_encoding_are_accepted(self):
        run = self.run_id()
        body = {"run_uuid": run, "key": "m", "value": "0.5", "timestamp": "12", "step": "7", "unknown": {"x": 1}}
        requests.post(API + "runs/log-metric", json=json.dumps(body)).raise_for_status()
        self.assertEqual([(m.value, m.timestamp, m.step) for m in self.client.get_metric_history(run, "m")], [(0.5, 12, 7)])


class Search(Case):
    def setUp(self):
        super().setUp()
        self.runs = []
        for i in range(12):
            run = self.client.create_run(self.experiment, start_time=1000 + i // 2, run_name=f"Run_{i}", tags={"parity": "even" if i % 2 == 0 else "odd"}).info.run_id
            metrics = [Metric("acc", i / 10, 1, 0)] if i < 9 else []
            if i == 8:
                metrics = [Metric("acc", math.nan, 1, 0)]
            self.client.log_batch(run, metrics, [Param("p", str(i % 3)), Param("deep", "x" * 150 + str(i))])
            self.runs.append(run)

    def find(self, filter="", order=None, **kwargs):
        return [self.runs.index(r.info.run_id) for r in self.client.search_runs([self.experiment], filter, order_by=order, **kwargs)]

    def test_filters(self):
        newest_first = sorted(range(12), key=lambda i: (-(i // 2), self.runs[i]))
        self.assertEqual(self.find(), newest_first)
        cases = {
            "metrics.acc > 0.45 AND params.p = '0'": {6},
            "metrics.acc >= 0.5": {5, 6, 7},
            "metrics.acc != 0.5": {0, 1, 2, 3, 4, 6, 7, 8},
            "metrics.`acc` < 0.2": {0, 1},
            "params.p != '0' and tags.parity = 'odd'": {1, 5, 7, 11},
            "params.p LIKE '_' AND tags.parity ILIKE 'EV%'": {0, 2, 4, 6, 8, 10},
            "tags.parity LIKE 'EV%'": set(),
            "params.deep = '" + "x" * 150 + "7'": {7},
            "tags.parity IS NOT NULL AND params.p IS NULL": set(),
            "tags.nothing IS NULL AND params.p = '2'": {2, 5, 8, 11},
            "attributes.run_name = 'Run_3'": {3},
            'run_name LIKE "Run%1"': {1, 11},
            "attributes.start_time >= 1005": {10, 11},
            "start_time > 1000 AND start_time <= 1001": {2, 3},
            "status = 'RUNNING' AND attributes.`run name` ILIKE 'rUn_4'": {4},
            "status != 'RUNNING'": set(),
            "end_time < 5": set(),
            f"run_id IN ('{self.runs[2]}', '{self.runs[9]}')": {2, 9},
            "metrics.unknown > 0": set(),
            "params.unknown = 'a'": set(),
        }
        for text, want in cases.items():
            with self.subTest(text):
                self.assertEqual(set(self.find(text)), want)

    def test_faults(self):
        for text, message in {
            "metrics.acc > 'x'": "Expected numeric value",
            "params.p = 1": "Expected a quoted string value",
            "params.p > '1'": "Invalid comparator",
            "metrics.acc > 1 OR metrics.acc < 0": "Invalid clause",
            "nonsense": "Invalid clause(s) in filter string: 'nonsense'",
            "foo.bar = 'x'": "Invalid entity type",
            "params.p = 'x": "not closed",
            "status IN ('a')": "Only ['run_id'] attributes",
        }.items():
            with self.subTest(text):
                self.refused("INVALID_PARAMETER_VALUE", message, self.find, text)
        self.refused("INVALID_PARAMETER_VALUE", "order_by", self.find, "", ["start_time sideways"])
        self.refused("INVALID_PARAMETER_VALUE", "duplicate", self.find, "", ["start_time", "start_time DESC"])
        self.refused("INVALID_PARAMETER_VALUE", "max_results", self.find, max_results=50001)
        self.refused("INVALID_PARAMETER_VALUE", "page token", self.find, page_token="abc")

    def test_order(self):
        # Numbers, then NaN, then runs without the metric, newest first.
        tail = sorted([9, 10, 11], key=lambda i: (-(i // 2), self.runs[i]))
        self.assertEqual(self.find(order=["metrics.acc DESC"]), [7, 6, 5, 4, 3, 2, 1, 0, 8, *tail])
        self.assertEqual(self.find(order=["metrics.acc ASC"]), [0, 1, 2, 3, 4, 5, 6, 7, 8, *tail])
        self.assertEqual(self.find("params.p = '1'", order=["metrics.acc"]), [1, 4, 7, 10])
        self.assertEqual(self.find(order=["params.p DESC", "metrics.acc DESC"])[:4], [5, 2, 8, 11])
        self.assertEqual(self.find(order=["start_time ASC", "run_name DESC"])[:4], [1, 0, 3, 2])

    def test_pages(self):
        for order in [None, ["start_time DESC"], ["start_time ASC"], ["metrics.acc DESC"], ["metrics.acc"], ["params.p", "run_name"]]:
            for text in ["", "tags.parity = 'odd'", "metrics.acc > 0.1"]:
                with self.subTest((order, text)):
                    got, token = [], None
                    while True:
                        page = self.client.search_runs([self.experiment], text, order_by=order, max_results=2, page_token=token)
                        got += [self.runs.index(r.info.run_id) for r in page]
                        token = page.token
                        if not token:
                            break
                    self.assertEqual(got, self.find(text, order))

    def test_views_and_many_experiments(self):
        self.client.delete_run(self.runs[0])
        self.assertNotIn(0, self.find())
        self.assertEqual(self.find(run_view_type=ViewType.DELETED_ONLY), [0])
        self.assertEqual(len(self.find(run_view_type=ViewType.ALL)), 12)
        other = self.client.create_experiment(name("other"))
        extra = self.client.create_run(other, start_time=1003).info.run_id
        found = [r.info.run_id for r in self.client.search_runs([self.experiment, other], max_results=7)]
        self.assertIn(extra, found)
        self.assertEqual(len(found), 7)

    def test_data_frame(self):
        frame = mlflow.search_runs([self.experiment], order_by=["metrics.acc DESC"])
        self.assertEqual((len(frame), frame["metrics.acc"][0]), (12, 0.7))


class Artifacts(Case):
    def test_files(self):
        run = self.run_id()
        self.assertEqual(self.client.get_run(run).info.artifact_uri, f"mlflow-artifacts:/{self.experiment}/{run}/artifacts")
        with tempfile.TemporaryDirectory() as d:
            Path(d, "sub").mkdir()
            Path(d, "sub", "Grüße & co.txt").write_text("hallo")
            Path(d, "a.bin").write_bytes(os.urandom(1 << 20))
            Path(d, "empty").write_bytes(b"")
            self.client.log_artifacts(run, d, "out")
            self.assertEqual([(f.path, f.is_dir, f.file_size) for f in self.client.list_artifacts(run, "out")],
                             [("out/a.bin", False, 1 << 20), ("out/empty", False, None), ("out/sub", True, None)])
            self.assertEqual([f.path for f in self.client.list_artifacts(run)], ["out"])
            self.assertEqual(self.client.list_artifacts(run, "nothing"), [])
            got = Path(self.client.download_artifacts(run, "out", tempfile.mkdtemp(dir=d)))
            self.assertEqual(got.joinpath("a.bin").read_bytes(), Path(d, "a.bin").read_bytes())
            self.assertEqual(got.joinpath("sub", "Grüße & co.txt").read_text(), "hallo")
        self.client.log_dict(run, {"a": 1}, "conf.json")
        self.assertEqual(mlflow.artifacts.load_dict(f"runs:/{run}/conf.json"), {"a": 1})
        self.client.log_text(run, "new", "conf.json")
        self.assertEqual(mlflow.artifacts.load_text(f"runs:/{run}/conf.json"), "new")

    def test_delete(self):
        run = self.run_id()
        self.client.log_text(run, "x", "a/b.txt")
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
        get_artifact_repository(self.client.get_run(run).info.artifact_uri).delete_artifacts("a")
        self.assertEqual(self.client.list_artifacts(run), [])

    def test_headers(self):
        run = self.run_id()
        self.client.log_text(run, "<script>alert(1)</script>", "evil.html")
        for url in [f"{URI}/api/2.0/mlflow-artifacts/artifacts/{self.experiment}/{run}/artifacts/evil.html", f"{URI}/get-artifact?run_uuid={run}&path=evil.html"]:
            r = requests.get(url)
            self.assertEqual(r.text, "<script>alert(1)</script>")
            self.assertEqual(r.headers["X-Content-Type-Options"], "nosniff")
            self.assertTrue(r.headers["Content-Disposition"].startswith("attachment"))
            self.assertIn("sandbox", r.headers["Content-Security-Policy"])
        r = requests.get(url, headers={"Range": "bytes=1-6"})
        self.assertEqual((r.status_code, r.text), (206, "script"))

    def test_climbing(self):
        run = self.run_id()
        root = f"/api/2.0/mlflow-artifacts/artifacts/{self.experiment}/{run}/artifacts/"
        session = requests.Session()
        for path in ["%2e%2e/%2e%2e/x", "..%2f..%2f..%2fx", "%252e%252e%252fx", "%25252e%25252e%25252fx", "..%5c..%5cx", "%5cx", "%00", "a%00b", "%2fetc%2fpasswd", "a%0ab", "C:%5cx"]:
            for method in ["GET", "PUT", "DELETE"]:
                request = requests.Request(method, URI, data=b"x" if method == "PUT" else None).prepare()
                request.url = URI + root + path
                r = session.send(request, allow_redirects=False)
                self.assertIn(r.status_code, (400, 404), (method, path, r.text))
            r = requests.get(URI + "/api/2.0/mlflow/artifacts/list", params={"run_id": run, "path": urllib.parse.unquote(path)})
            self.assertEqual(r.status_code, 400, path)
            r = requests.get(URI + "/get-artifact", params={"run_id": run, "path": urllib.parse.unquote(path)})
            self.assertEqual(r.status_code, 400, path)
        r = requests.get(URI + root + "none")
        self.assertEqual((r.status_code, r.json()["error_code"]), (404, "RESOURCE_DOES_NOT_EXIST"))
        with self.assertRaises(MlflowException):
            mlflow.artifacts.load_text(f"mlflow-artifacts:/{self.experiment}/{run}/artifacts/none")


class Models(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        from sklearn.linear_model import LogisticRegression
        cls.x = np.array([[0.0], [1.0], [2.0], [3.0]], dtype=np.float32)
        cls.model = LogisticRegression().fit(cls.x, [0, 0, 1, 1])

    def log_sklearn(self, registered=None):
        mlflow.set_experiment(experiment_id=self.experiment)
        with mlflow.start_run() as run:
            mlflow.log_metrics({"acc": 0.9, "loss": 0.1})
            return run.info.run_id, mlflow.sklearn.log_model(
                self.model, name="model", registered_model_name=registered, params={"C": "1.0"},
                pip_requirements=["scikit-learn"], input_example=None)

    def test_sklearn_through_the_registry(self):
        n = name("model")
        run, info = self.log_sklearn(n)
        c = self.client
        version = c.get_model_version(n, "1")
        self.assertEqual((version.run_id, version.status, version.current_stage), (run, "READY", "None"))
        self.log_sklearn(n)
        c.set_registered_model_alias(n, "champion", "2")
        self.assertEqual(c.get_model_version_by_alias(n, "champion").version, "2")
        for uri in [f"models:/{n}@champion", f"models:/{n}/1", f"models:/{n}/latest", info.model_uri, f"runs:/{run}/model"]:
            self.assertEqual(list(mlflow.sklearn.load_model(uri).predict(self.x)), [0, 0, 1, 1], uri)
        logged = mlflow.get_logged_model(info.model_id)
        self.assertEqual((logged.status, logged.source_run_id, logged.params), ("READY", run, {"C": "1.0"}))
        self.assertEqual({m.key: m.value for m in logged.metrics}, {"acc": 0.9, "loss": 0.1})
        self.assertEqual([o.model_id for o in c.get_run(run).outputs.model_outputs], [info.model_id])

    def test_onnx(self):
        from skl2onnx import to_onnx
        onnx = to_onnx(self.model, self.x, options={"zipmap": False})
        mlflow.set_experiment(experiment_id=self.experiment)
        n = name("onnx")
        with mlflow.start_run():
            mlflow.onnx.log_model(onnx, name="model", registered_model_name=n, pip_requirements=["onnxruntime"])
        self.assertEqual(len(mlflow.onnx.load_model(f"models:/{n}/1").graph.node), len(onnx.graph.node))

    def test_logged_models(self):
        c = self.client
        models = [mlflow.initialize_logged_model(f"m{i}", experiment_id=self.experiment, tags={"i": str(i)}, params={"p": str(i % 2)}) for i in range(4)]
        run = self.run_id()
        for i, m in enumerate(models):
            c.log_metric(run, "score", i / 10, model_id=m.model_id, dataset_name="d", dataset_digest="1")
        c.finalize_logged_model(models[0].model_id, "READY")
        c.set_logged_model_tags(models[0].model_id, {"x": "y"})
        c.delete_logged_model_tag(models[0].model_id, "i")
        got = c.get_logged_model(models[0].model_id)
        self.assertEqual((got.status, got.tags["x"], "i" in got.tags), ("READY", "y", False))
        find = lambda **k: [m.name for m in c.search_logged_models([self.experiment], **k)]
        self.assertEqual(sorted(find()), ["m0", "m1", "m2", "m3"])
        self.assertEqual(find(filter_string="metrics.score > 0.15", order_by=[{"field_name": "metrics.score", "ascending": False}]), ["m3", "m2"])
        self.assertEqual(find(filter_string="params.p = '1' AND name = 'm3'"), ["m3"])
        self.assertEqual(find(filter_string="status = 'READY'"), ["m0"])
        first = c.search_logged_models([self.experiment], max_results=3, order_by=[{"field_name": "name"}])
        rest = c.search_logged_models([self.experiment], max_results=3, order_by=[{"field_name": "name"}], page_token=first.token)
        self.assertEqual([m.name for m in [*first, *rest]], ["m0", "m1", "m2", "m3"])
        c.delete_logged_model(models[1].model_id)
        self.refused("RESOURCE_DOES_NOT_EXIST", "not found", c.get_logged_model, models[1].model_id)
        self.assertEqual(sorted(find()), ["m0", "m2", "m3"])


if __name__ == "__main__":
    unittest.main()
