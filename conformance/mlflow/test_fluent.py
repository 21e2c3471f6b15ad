"""The fluent API: what training scripts call, and what it makes of their calls."""

import io
import json
import os
import tempfile
import unittest
from pathlib import Path

from suite import Case, name, since

import mlflow
import numpy as np
import pandas as pd
from mlflow.entities import DatasetInput, Dataset, InputTag, LoggedModelInput, LoggedModelOutput, RunStatus
from mlflow.exceptions import MlflowException


class Fluent(Case):
    def setUp(self):
        super().setUp()
        mlflow.set_experiment(experiment_id=self.experiment)
        self.addCleanup(self.end)

    @staticmethod
    def end():
        while mlflow.active_run():
            mlflow.end_run()


class Runs(Fluent):
    def test_nested(self):
        with mlflow.start_run(run_name="outer") as outer:
            with mlflow.start_run(run_name="inner", nested=True, description="child") as inner:
                self.assertEqual(mlflow.active_run().info.run_id, inner.info.run_id)
                self.assertEqual(mlflow.get_parent_run(inner.info.run_id).info.run_id, outer.info.run_id)
            self.assertEqual(mlflow.active_run().info.run_id, outer.info.run_id)
            with self.assertRaisesRegex(Exception, "already active"):
                mlflow.start_run()
        self.assertIsNone(mlflow.active_run())
        self.assertIsNone(mlflow.get_parent_run(outer.info.run_id))
        found = self.client.search_runs([self.experiment], f"tags.mlflow.parentRunId = '{outer.info.run_id}'")
        self.assertEqual([r.info.run_name for r in found], ["inner"])
        self.assertEqual(mlflow.last_active_run().info.run_id, outer.info.run_id)

    def test_resume(self):
        with mlflow.start_run() as first:
            mlflow.log_metric("m", 1, step=1)
        with mlflow.start_run(run_id=first.info.run_id) as again:
            self.assertEqual(self.client.get_run(again.info.run_id).info.status, "RUNNING")
            mlflow.log_metric("m", 2, step=2)
        got = self.client.get_run(first.info.run_id)
        self.assertEqual((got.info.status, got.data.metrics), ("FINISHED", {"m": 2.0}))
        self.assertEqual(len(self.client.search_runs([self.experiment])), 1)

    def test_a_failure_is_noted(self):
        with self.assertRaises(ZeroDivisionError):
            with mlflow.start_run() as run:
                1 / 0
        got = self.client.get_run(run.info.run_id)
        self.assertEqual(got.info.status, "FAILED")
        self.assertGreaterEqual(got.info.end_time, got.info.start_time)

    def test_states(self):
        for status in ["FINISHED", "FAILED", "KILLED"]:
            run = self.run_id()
            self.client.set_terminated(run, status, end_time=1_700_000_000_123)
            got = self.client.get_run(run).info
            self.assertEqual((got.status, got.end_time), (status, 1_700_000_000_123))
            found = self.client.search_runs([self.experiment], f"attributes.status = '{status}'")
            self.assertEqual([r.info.run_id for r in found], [run])
        self.client.update_run(run, status="SCHEDULED")
        self.assertEqual(self.client.get_run(run).info.status, RunStatus.to_string(RunStatus.SCHEDULED))

    def test_what_the_client_notes(self):
        with mlflow.start_run() as run:
            pass
        tags = self.client.get_run(run.info.run_id).data.tags
        for key in ["mlflow.user", "mlflow.source.name", "mlflow.source.type", "mlflow.runName"]:
            self.assertIn(key, tags)
        self.assertEqual(tags["mlflow.runName"], self.client.get_run(run.info.run_id).info.run_name)

    def test_many_at_once(self):
        params = {f"p{i}": i for i in range(250)}
        tags = {f"t{i}": str(i) for i in range(250)}
        metrics = {f"m{i}": i / 7 for i in range(1100)}
        with mlflow.start_run() as run:
            mlflow.log_params(params)
            mlflow.set_tags(tags)
            mlflow.log_metrics(metrics)
        got = self.client.get_run(run.info.run_id).data
        self.assertEqual(got.params, {k: str(v) for k, v in params.items()})
        self.assertEqual({k: v for k, v in got.tags.items() if k in tags}, tags)
        self.assertEqual(got.metrics, metrics)

    def test_asynchronous(self):
        with mlflow.start_run() as run:
            pending = [mlflow.log_metric("loss", i / 2, step=i, synchronous=False) for i in range(40)]
            pending.append(mlflow.log_params({"a": 1, "b": "x"}, synchronous=False))
            pending.append(mlflow.set_tags({"k": "v"}, synchronous=False))
            for p in pending:
                p.wait()
        history = self.client.get_metric_history(run.info.run_id, "loss")
        self.assertEqual([(m.step, m.value) for m in history], [(i, i / 2) for i in range(40)])
        got = self.client.get_run(run.info.run_id).data
        self.assertEqual((got.params, got.tags["k"]), ({"a": "1", "b": "x"}, "v"))

    def test_tags_and_experiment_tags(self):
        mlflow.set_experiment_tag("one", 1)
        mlflow.set_experiment_tags({"two": "2", "three": "3"})
        self.assertEqual(self.client.get_experiment(self.experiment).tags, {"one": "1", "two": "2", "three": "3"})
        with mlflow.start_run() as run:
            mlflow.set_tag("x", "1")
            mlflow.delete_tag("x")
        self.assertNotIn("x", self.client.get_run(run.info.run_id).data.tags)
        mlflow.delete_run(run.info.run_id)
        self.assertEqual(self.client.get_run(run.info.run_id).info.lifecycle_stage, "deleted")

    def test_search_experiments_and_runs(self):
        with mlflow.start_run(tags={"kind": "a"}) as run:
            mlflow.log_metric("v", 3)
            mlflow.log_param("p", "q")
        names = [e.experiment_id for e in mlflow.search_experiments(filter_string=f"name = '{mlflow.get_experiment(self.experiment).name}'")]
        self.assertEqual(names, [self.experiment])
        frame = mlflow.search_runs([self.experiment], "metrics.v = 3 AND params.p = 'q' AND tags.kind = 'a'")
        self.assertEqual(list(frame.run_id), [run.info.run_id])
        self.assertEqual((frame["metrics.v"][0], frame["params.p"][0], frame["tags.kind"][0]), (3.0, "q", "a"))
        listed = mlflow.search_runs(experiment_names=[mlflow.get_experiment(self.experiment).name], output_format="list")
        self.assertEqual([r.info.run_id for r in listed], [run.info.run_id])
        mlflow.delete_experiment(self.experiment)
        self.assertEqual(mlflow.get_experiment(self.experiment).lifecycle_stage, "deleted")


class Data(Fluent):
    def test_data_sets(self):
        frame = pd.DataFrame({"x": [1.0, 2.0], "y": [0, 1]})
        with mlflow.start_run() as run:
            mlflow.log_input(mlflow.data.from_pandas(frame, source="train.csv", name="train", targets="y"), context="training")
            mlflow.log_input(mlflow.data.from_pandas(frame[:1], source="eval.csv", name="eval"), context="eval", tags={"split": "b"})
        got = {d.dataset.name: d for d in self.client.get_run(run.info.run_id).inputs.dataset_inputs}
        self.assertEqual(set(got), {"train", "eval"})
        self.assertEqual(got["train"].dataset.source_type, "local")
        self.assertEqual(json.loads(got["train"].dataset.profile), {"num_rows": 2, "num_elements": 4})
        self.assertEqual(json.loads(got["train"].dataset.schema)["mlflow_colspec"][0]["name"], "x")
        self.assertEqual({t.key: t.value for t in got["eval"].tags}, {"split": "b", "mlflow.data.context": "eval"})
        source = mlflow.data.get_source(self.client.get_run(run.info.run_id).inputs.dataset_inputs[0])
        self.assertTrue(source.uri.endswith(".csv"))
        for text, want in {
            "dataset.name = 'train'": 1, "dataset.name LIKE 'tr%' AND dataset.context = 'training'": 1, "dataset.context = 'test'": 0,
            "datasets.name IN ('a', 'eval')": 1, f"dataset.digest = '{got['eval'].dataset.digest}'": 1, "dataset.name ILIKE 'EVAL'": 1,
        }.items():
            self.assertEqual(len(self.client.search_runs([self.experiment], text)), want, text)

    def test_inputs_and_outputs_of_the_client(self):
        run = self.run_id()
        models = [self.client.create_logged_model(self.experiment, name=n, source_run_id=run) for n in ("in", "out")]
        data = DatasetInput(Dataset("d", "abc", "local", '{"uri": "x"}', None, None), [InputTag("mlflow.data.context", "training")])
        self.client.log_inputs(run, [data], [LoggedModelInput(models[0].model_id)])
        self.client.log_inputs(run, [data])
        self.client.log_outputs(run, [LoggedModelOutput(models[1].model_id, 3)])
        got = self.client.get_run(run)
        self.assertEqual([(d.dataset.name, d.dataset.digest, d.dataset.source) for d in got.inputs.dataset_inputs], [("d", "abc", '{"uri": "x"}')])
        self.assertEqual([m.model_id for m in got.inputs.model_inputs], [models[0].model_id])
        self.assertEqual([(m.model_id, m.step) for m in got.outputs.model_outputs], [(models[1].model_id, 3)])
        self.refused("INVALID_PARAMETER_VALUE", "exceeds", self.client.log_inputs, run, [DatasetInput(Dataset("n" * 501, "abc", "local", "{}"), [])])

    def test_search_datasets(self):
        run = self.run_id()
        for i in range(3):
            self.client.log_inputs(run, [DatasetInput(Dataset(f"d{i}", str(i), "local", "{}"), [InputTag("mlflow.data.context", "train")])])
        for path in ["/ajax-api/2.0/mlflow/experiments/search-datasets", "/api/2.0mlflow/experiments/search-datasets"]:
            got = self.post(path, experiment_ids=[self.experiment])["dataset_summaries"]
            self.assertEqual(sorted((d["experiment_id"], d["name"], d["digest"], d["context"]) for d in got),
                             [(self.experiment, f"d{i}", str(i), "train") for i in range(3)])


class Files(Fluent):
    def test_kinds(self):
        with mlflow.start_run() as run:
            mlflow.log_text("plain", "texts/a.txt")
            mlflow.log_dict({"k": [1, 2]}, "conf/a.json")
            mlflow.log_dict({"k": [1, 2]}, "conf/a.yaml")
            mlflow.log_image(np.zeros((4, 4, 3), dtype=np.uint8), "image.png")
            mlflow.log_table({"q": ["a", "b"], "n": [1, 2]}, "table.json")
            mlflow.log_table({"q": ["c"], "n": [3]}, "table.json")
        id = run.info.run_id
        self.assertEqual(mlflow.artifacts.load_text(f"runs:/{id}/texts/a.txt"), "plain")
        self.assertEqual(mlflow.artifacts.load_dict(f"runs:/{id}/conf/a.json"), {"k": [1, 2]})
        self.assertEqual(mlflow.artifacts.load_image(f"runs:/{id}/image.png").size, (4, 4))
        table = mlflow.load_table("table.json", run_ids=[id])
        self.assertEqual(list(table.q), ["a", "b", "c"])
        self.assertIn("table.json", self.client.get_run(id).data.tags["mlflow.loggedArtifacts"])
        self.assertEqual([f.path for f in self.client.list_artifacts(id)], ["conf", "image.png", "table.json", "texts"])
        self.assertEqual({(f.path, f.is_dir) for f in self.client.list_artifacts(id, "conf")}, {("conf/a.json", False), ("conf/a.yaml", False)})

    def test_images_of_steps(self):
        with mlflow.start_run() as run:
            for step in range(3):
                mlflow.log_image(np.full((2, 2, 3), step, dtype=np.uint8), key="dogs", step=step, synchronous=True)
        listed = [f.path for f in self.client.list_artifacts(run.info.run_id, "images")]
        self.assertGreaterEqual(len(listed), 6, listed)
        self.assertTrue(all(p.startswith("images/dogs") for p in listed))

    def test_figure(self):
        os.environ.setdefault("MPLBACKEND", "agg")
        from matplotlib import pyplot
        figure = pyplot.figure()
        with mlflow.start_run() as run:
            mlflow.log_figure(figure, "plots/f.png")
        pyplot.close(figure)
        self.assertEqual([f.path for f in self.client.list_artifacts(run.info.run_id, "plots")], ["plots/f.png"])

    @since("3.17")
    def test_stream(self):
        run = self.run_id()
        self.client.log_stream(run, io.BytesIO(b"\x00\x01" * 5000), "bin/data")
        with tempfile.TemporaryDirectory() as d:
            self.assertEqual(Path(self.client.download_artifacts(run, "bin/data", d)).read_bytes(), b"\x00\x01" * 5000)

    def test_folders(self):
        with tempfile.TemporaryDirectory() as d, mlflow.start_run() as run:
            for path in ["a/b/c.txt", "a/d.txt", "e.txt"]:
                Path(d, path).parent.mkdir(parents=True, exist_ok=True)
                Path(d, path).write_text(path)
            mlflow.log_artifacts(d)
            mlflow.log_artifact(str(Path(d, "e.txt")), "copies")
            mlflow.log_artifact(str(Path(d, "a")))
            got = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="a", dst_path=str(Path(d, "out")))
            self.assertEqual(Path(got, "b", "c.txt").read_text(), "a/b/c.txt")
            self.assertEqual(mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/copies/e.txt"), "e.txt")
            self.assertEqual(mlflow.get_artifact_uri("e.txt"), f"{run.info.artifact_uri}/e.txt")
        with self.assertRaises(MlflowException):
            mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/nothing.txt")

    def test_locations(self):
        with tempfile.TemporaryDirectory() as d:
            e = self.client.create_experiment(name("local"), artifact_location=f"file://{d}/art")
            self.assertEqual(self.client.get_experiment(e).artifact_location, f"file://{d}/art")
            run = self.client.create_run(e)
            self.assertEqual(run.info.artifact_uri, f"file://{d}/art/{run.info.run_id}/artifacts")
            self.client.log_text(run.info.run_id, "direct", "x.txt")
            self.assertEqual(Path(d, "art", run.info.run_id, "artifacts", "x.txt").read_text(), "direct")
        self.refused("INVALID_PARAMETER_VALUE", "artifact", self.client.create_experiment, name("bad"), artifact_location="file:///a?b=../c#d")


if __name__ == "__main__":
    unittest.main()
