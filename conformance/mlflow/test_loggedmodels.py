"""Logged models: every call of the client, and what searches find."""

import tempfile
import unittest
from pathlib import Path

from suite import URI, Case, name

import mlflow
import requests
from mlflow.entities import LoggedModelStatus, Metric


class LoggedModels(Case):
    def model(self, **kwargs):
        return self.client.create_logged_model(self.experiment, **{"name": "m", **kwargs})

    def test_life_cycle(self):
        run = self.run_id()
        m = self.model(name="net", source_run_id=run, tags={"a": "1"}, params={"depth": "3"}, model_type="classifier")
        self.assertTrue(m.model_id.startswith("m-"))
        self.assertEqual((m.name, m.experiment_id, m.source_run_id, m.model_type), ("net", self.experiment, run, "classifier"))
        self.assertEqual((m.status, m.tags, m.params), (LoggedModelStatus.PENDING, {"a": "1"}, {"depth": "3"}))
        self.assertEqual(m.artifact_location, f"mlflow-artifacts:/{self.experiment}/models/{m.model_id}/artifacts")
        done = self.client.finalize_logged_model(m.model_id, LoggedModelStatus.READY)
        self.assertEqual(done.status, LoggedModelStatus.READY)
        self.assertGreaterEqual(done.last_updated_timestamp, m.creation_timestamp)
        failed = self.client.finalize_logged_model(self.model().model_id, LoggedModelStatus.FAILED)
        self.assertEqual(failed.status, LoggedModelStatus.FAILED)

    def test_params_and_tags(self):
        m = self.model()
        self.client.log_model_params(m.model_id, {f"p{i}": str(i) for i in range(3)})
        self.client.set_logged_model_tags(m.model_id, {"x": "1", "y": "2"})
        self.client.set_logged_model_tags(m.model_id, {"x": "3"})
        self.client.delete_logged_model_tag(m.model_id, "y")
        got = self.client.get_logged_model(m.model_id)
        self.assertEqual(got.params, {"p0": "0", "p1": "1", "p2": "2"})
        self.assertEqual(got.tags, {"x": "3"})
        self.refused("RESOURCE_DOES_NOT_EXIST", "y", self.client.delete_logged_model_tag, m.model_id, "y")

    def test_missing(self):
        self.refused("RESOURCE_DOES_NOT_EXIST", "not found", self.client.get_logged_model, "m-" + "0" * 32)
        self.refused("RESOURCE_DOES_NOT_EXIST", "not found", self.client.finalize_logged_model, "m-" + "0" * 32, "READY")
        self.refused("RESOURCE_DOES_NOT_EXIST", "not found", self.client.delete_logged_model, "m-" + "0" * 32)
        self.refused("RESOURCE_DOES_NOT_EXIST", "No Experiment", self.client.create_logged_model, "987654321", name="x")
        self.refused("INVALID_PARAMETER_VALUE", "nvalid model name", self.client.create_logged_model, self.experiment, name="a/b")

    def test_files(self):
        m = self.model()
        with tempfile.TemporaryDirectory() as d:
            Path(d, "MLmodel").write_text("flavors: {}\n")
            Path(d, "data").mkdir()
            Path(d, "data", "w.bin").write_bytes(b"1234")
            self.client.log_model_artifacts(m.model_id, d)
            self.client.log_model_artifact(m.model_id, str(Path(d, "data", "w.bin")))
            self.assertEqual([(f.path, f.is_dir, f.file_size) for f in self.client.list_logged_model_artifacts(m.model_id)],
                             [("MLmodel", False, 12), ("data", True, None), ("w.bin", False, 4)])
            self.assertEqual([f.path for f in self.client.list_logged_model_artifacts(m.model_id, "data")], ["data/w.bin"])
            got = mlflow.artifacts.download_artifacts(f"models:/{m.model_id}", dst_path=d + "/out")
            self.assertEqual(Path(got, "data", "w.bin").read_bytes(), b"1234")
        listed = self.get(f"/api/2.0/mlflow/logged-models/{m.model_id}/artifacts/directories", artifact_directory_path="data")["files"]
        self.assertEqual([(f["path"], f["is_dir"], f["file_size"]) for f in listed], [("data/w.bin", False, 4)])
        r = requests.get(f"{URI}/ajax-api/2.0/mlflow/logged-models/{m.model_id}/artifacts/files", params={"artifact_file_path": "data/w.bin"})
        self.assertEqual((r.status_code, r.content), (200, b"1234"))
        r = requests.get(f"{URI}/ajax-api/2.0/mlflow/logged-models/{m.model_id}/artifacts/files", params={"artifact_file_path": "../../x"})
        self.assertEqual((r.status_code, r.json()["error_code"]), (400, "INVALID_PARAMETER_VALUE"))

    def test_metrics(self):
        m, run = self.model(), self.run_id()
        self.client.log_metric(run, "acc", 0.5, timestamp=10, step=1, model_id=m.model_id, dataset_name="d", dataset_digest="1")
        self.client.log_metric(run, "acc", 0.7, timestamp=20, step=2, model_id=m.model_id, dataset_name="d", dataset_digest="1")
        self.client.log_batch(run, metrics=[Metric("loss", 0.1, 5, 0, model_id=m.model_id)])
        got = {(x.key, x.step): x for x in self.client.get_logged_model(m.model_id).metrics}
        self.assertEqual((got["acc", 2].value, got["acc", 2].timestamp, got["acc", 2].run_id), (0.7, 20, run))
        self.assertEqual((got["acc", 2].dataset_name, got["acc", 2].dataset_digest, got["acc", 2].model_id), ("d", "1", m.model_id))
        self.assertEqual(got["loss", 0].value, 0.1)
        self.assertIn(got["loss", 0].dataset_name, (None, ""))
        self.assertEqual(self.client.get_run(run).data.metrics, {"acc": 0.7, "loss": 0.1})

    def find(self, text=None, **kwargs):
        return [m.name for m in self.client.search_logged_models([self.experiment], text, **kwargs)]

    def test_search(self):
        run = self.run_id()
        for i in range(5):
            m = self.model(name=f"n{i}", source_run_id=run if i == 2 else None, tags={"even": str(i % 2 == 0)}, params={"p": f"v{i}"}, model_type="t")
            self.client.log_metric(run, "acc", i / 10, model_id=m.model_id, dataset_name=f"d{i % 2}", dataset_digest="1")
            if i == 4:
                self.client.finalize_logged_model(m.model_id, "READY")
                ready = m
        by_name = [{"field_name": "name"}]
        for text, want in {
            "name = 'n1'": ["n1"],
            "name != 'n1' AND name LIKE 'n%'": ["n0", "n2", "n3", "n4"],
            "attributes.name ILIKE 'N_'": ["n0", "n1", "n2", "n3", "n4"],
            "tags.even = 'True'": ["n0", "n2", "n4"],
            "tags.`even` != 'True'": ["n1", "n3"],
            "params.p = 'v3'": ["n3"],
            "params.p LIKE 'v%' AND metrics.acc >= 0.3": ["n3", "n4"],
            "metrics.acc < 0.15": ["n0", "n1"],
            f"source_run_id = '{run}'": ["n2"],
            f"model_id = '{ready.model_id}'": ["n4"],
            "status = 'READY'": ["n4"],
            "model_type = 't' AND status != 'READY'": ["n0", "n1", "n2", "n3"],
            "creation_timestamp > 0": ["n0", "n1", "n2", "n3", "n4"],
            "name IN ('n0', 'n4', 'x')": ["n0", "n4"],
            "params.nothing = '1'": [],
        }.items():
            with self.subTest(text):
                self.assertEqual(self.find(text, order_by=by_name), want)
        self.assertEqual(self.find("metrics.acc > 0.05", datasets=[{"dataset_name": "d1"}], order_by=by_name), ["n1", "n3"])
        self.assertEqual(self.find("metrics.acc > 0.05", datasets=[{"dataset_name": "d0", "dataset_digest": "1"}], order_by=by_name), ["n2", "n4"])
        self.assertEqual(self.find(order_by=[{"field_name": "metrics.acc", "ascending": False}]), ["n4", "n3", "n2", "n1", "n0"])
        self.assertEqual(self.find(order_by=[{"field_name": "name", "ascending": False}], max_results=2), ["n4", "n3"])
        self.assertEqual(self.find(order_by=[{"field_name": "creation_timestamp", "ascending": True}, {"field_name": "name"}]), ["n0", "n1", "n2", "n3", "n4"])

    def test_search_pages_and_faults(self):
        for i in range(5):
            self.model(name=f"n{i}")
        order = [{"field_name": "name"}]
        got, token = [], None
        while True:
            page = self.client.search_logged_models([self.experiment], max_results=2, order_by=order, page_token=token)
            got += [m.name for m in page]
            token = page.token
            if not token:
                break
        self.assertEqual(got, ["n0", "n1", "n2", "n3", "n4"])
        token = self.client.search_logged_models([self.experiment], max_results=2, order_by=order).token
        for kwargs in [
            {"page_token": token, "order_by": [{"field_name": "name", "ascending": False}]},
            {"page_token": "nonsense"},
            {"filter_string": "nonsense = 1"},
            {"filter_string": "metrics.a = 'x'"},
            {"order_by": [{"field_name": "nonsense"}]},
        ]:
            with self.subTest(kwargs), self.assertRaises(mlflow.exceptions.MlflowException) as caught:
                self.client.search_logged_models([self.experiment], **kwargs)
            self.assertEqual(caught.exception.error_code, "INVALID_PARAMETER_VALUE")

    def test_search_as_a_table(self):
        m = self.model(name="framed", params={"p": "1"})
        frame = mlflow.search_logged_models([self.experiment], output_format="pandas")
        self.assertEqual((list(frame.model_id), list(frame.name)), ([m.model_id], ["framed"]))
        self.assertEqual([x.model_id for x in mlflow.search_logged_models([self.experiment], output_format="list")], [m.model_id])

    def test_delete(self):
        m = self.model(name=name("gone"))
        self.client.delete_logged_model(m.model_id)
        self.assertEqual(self.find(), [])
        self.refused("RESOURCE_DOES_NOT_EXIST", "not found", self.client.get_logged_model, m.model_id)

    def test_active_model(self):
        mlflow.set_experiment(experiment_id=self.experiment)
        self.addCleanup(mlflow.clear_active_model)
        m = mlflow.set_active_model(name="agent")
        self.assertEqual(mlflow.get_active_model_id(), m.model_id)
        self.assertEqual(mlflow.set_active_model(name="agent").model_id, m.model_id)
        with mlflow.start_run() as run:
            mlflow.log_metric("acc", 1.0)
        self.assertEqual([x.key for x in self.client.get_logged_model(m.model_id).metrics], ["acc"])
        self.assertEqual(self.client.get_run(run.info.run_id).data.metrics, {"acc": 1.0})


if __name__ == "__main__":
    unittest.main()
