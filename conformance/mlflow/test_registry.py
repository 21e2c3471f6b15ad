"""The unmodified mlflow client against the model registry, and the routes around it; started as test_tracking.py is."""

import os
import unittest

from suite import API, URI, Case, name

import mlflow
import requests
from mlflow import MlflowClient
from mlflow.exceptions import RestException


class Registry(Case):
    def make(self, versions=1):
        n = name("reg")
        self.client.create_registered_model(n, tags={"team": "a"}, description="what")
        run = self.run_id()
        source = self.client.get_run(run).info.artifact_uri + "/model"
        for i in range(versions):
            self.client.create_model_version(n, source, run_id=run, tags={"i": str(i)})
        return n, run

    def test_life_cycle(self):
        c = self.client
        n, run = self.make(2)
        got = c.get_registered_model(n)
        self.assertEqual((got.description, got.tags, [v.version for v in got.latest_versions]), ("what", {"team": "a"}, ["2"]))
        c.update_registered_model(n, "else")
        c.set_registered_model_tag(n, "team", "b")
        c.set_registered_model_tag(n, "x", "y")
        c.delete_registered_model_tag(n, "x")
        c.update_model_version(n, "1", "first")
        c.set_model_version_tag(n, "1", "k", "v")
        c.delete_model_version_tag(n, "1", "i")
        v = c.get_model_version(n, "1")
        self.assertEqual((v.description, v.tags, v.run_id), ("first", {"k": "v"}, run))
        c.rename_registered_model(n, new := name("new"))
        self.assertEqual(c.get_model_version(new, "1").name, new)
        self.assertEqual(c.get_registered_model(new).tags, {"team": "b"})
        self.refused("RESOURCE_DOES_NOT_EXIST", "not found", c.get_registered_model, n)
        self.assertTrue(c.get_model_version_download_uri(new, "1").startswith("mlflow-artifacts:/"))
        c.delete_registered_model(new)
        self.refused("RESOURCE_DOES_NOT_EXIST", "not found", c.get_model_version, new, "1")

    def test_aliases(self):
        c = self.client
        n, _ = self.make(3)
        c.set_registered_model_alias(n, "champion", "1")
        c.set_registered_model_alias(n, "champion", "2")
        c.set_registered_model_alias(n, "canary", "3")
        self.assertEqual(c.get_registered_model(n).aliases, {"champion": "2", "canary": "3"})
        self.assertEqual(c.get_model_version(n, "2").aliases, ["champion"])
        c.delete_registered_model_alias(n, "canary")
        self.refused("INVALID_PARAMETER_VALUE", "alias canary not found", c.get_model_version_by_alias, n, "canary")
        self.refused("INVALID_PARAMETER_VALUE", "reserved", c.set_registered_model_alias, n, "latest", "1")
        self.refused("INVALID_PARAMETER_VALUE", "reserved", c.set_registered_model_alias, n, "v1", "1")
        self.refused("RESOURCE_DOES_NOT_EXIST", "not found", c.set_registered_model_alias, n, "x", "9")
        c.delete_model_version(n, "2")
        self.assertEqual(c.get_registered_model(n).aliases, {}, "a deleted version has no alias")
        self.refused("RESOURCE_DOES_NOT_EXIST", "not found", c.get_model_version, n, "2")
        run = self.run_id()
        self.assertEqual(c.create_model_version(n, c.get_run(run).info.artifact_uri, run_id=run).version, "4", "numbers are not used again")

    def test_stages(self):
        n, _ = self.make(3)
        c = self.client
        c.transition_model_version_stage(n, "1", "Production")
        c.transition_model_version_stage(n, "2", "production", archive_existing_versions=True)
        self.assertEqual({v.version: v.current_stage for v in c.get_latest_versions(n)}, {"1": "Archived", "2": "Production", "3": "None"})
        self.assertEqual([v.version for v in c.get_latest_versions(n, ["Production"])], ["2"])

    def test_search(self):
        c = self.client
        mark = name("find")
        for i in range(4):
            c.create_registered_model(f"{mark}-{i}", tags={"i": str(i)})
        found = c.search_registered_models(f"name LIKE '{mark}%'", order_by=["name DESC"], max_results=3)
        self.assertEqual([m.name[-1] for m in found], ["3", "2", "1"])
        found = c.search_registered_models(f"name LIKE '{mark}%'", order_by=["name DESC"], max_results=3, page_token=found.token)
        self.assertEqual([m.name[-1] for m in found], ["0"])
        self.assertEqual([m.name[-1] for m in c.search_registered_models(f"name ILIKE '{mark.upper()}%' AND tags.i = '2'")], ["2"])
        n, run = self.make(3)
        versions = lambda f, **k: [v.version for v in c.search_model_versions(f, **k)]
        self.assertEqual(versions(f"name = '{n}'", order_by=["version_number ASC"]), ["1", "2", "3"])
        self.assertEqual(versions(f"name = '{n}' AND version_number > 1", order_by=["version_number DESC"]), ["3", "2"])
        self.assertEqual(versions(f"run_id = '{run}' AND tags.i = '1'"), ["2"])
        self.assertEqual(len(versions(f"run_id IN ('{run}', 'x')")), 3)

    def test_faults(self):
        c = self.client
        n, run = self.make()
        self.refused("RESOURCE_ALREADY_EXISTS", "already exists", c.create_registered_model, n)
        self.refused("INVALID_PARAMETER_VALUE", "cannot contain", c.create_registered_model, "a/b")
        self.refused("RESOURCE_DOES_NOT_EXIST", "not found", c.create_model_version, "no-such-model", "s3://b/k")
        self.refused("INVALID_PARAMETER_VALUE", "integer", c.get_model_version, n, "one")
        other = self.run_id()
        uri = c.get_run(other).info.artifact_uri
        for source in [uri, uri + "/../../../x", "/etc", "file:///etc", "mlflow-artifacts:/0/%2e%2e/x", f"runs:/{other}/m"]:
            self.refused("INVALID_PARAMETER_VALUE", "Invalid model version source", c.create_model_version, n, source, run_id=run)

    def test_prompts_are_apart(self):
        n = name("prompt")
        mlflow.genai.register_prompt(n, "Say {{x}}")
        self.assertEqual(mlflow.genai.load_prompt(f"prompts:/{n}/1").template, "Say {{x}}")
        self.assertEqual(self.client.search_registered_models(f"name = '{n}'"), [])
        self.assertEqual([m.name for m in self.client.search_registered_models(f"name = '{n}' AND tags.`mlflow.prompt.is_prompt` = 'true'")], [n])


class Server(unittest.TestCase):
    def test_handshakes(self):
        self.assertEqual(requests.get(URI + "/health").text, "OK")
        version = requests.get(URI + "/version").text
        self.assertGreaterEqual(tuple(int(n) for n in version.split(".")), tuple(int(n) for n in mlflow.__version__.split(".")), "never older than the client")
        self.assertEqual(requests.get(URI + "/api/3.0/mlflow/server-info").json()["store_type"], "SqlStore")

    def test_unknown_call(self):
        r = requests.post(URI + "/api/2.0/mlflow/no-such/call", json={})
        self.assertEqual((r.status_code, r.json()["error_code"]), (404, "ENDPOINT_NOT_FOUND"))

    def test_both_prefixes(self):
        for prefix in ["/api", "/ajax-api"]:
            r = requests.get(URI + prefix + "/2.0/mlflow/experiments/get", params={"experiment_id": "0"})
            self.assertEqual(r.json()["experiment"]["name"], "Default")
            self.assertTrue(r.text.startswith('{\n  "experiment": {\n    "experiment_id": "0"'))

    def test_workspace_of_the_environment(self):
        """What pods outside of the default project have in their environment."""
        mlflow.create_workspace("team-c")
        os.environ["MLFLOW_WORKSPACE"] = "team-c"
        try:
            client = MlflowClient(URI)
            run = client.create_run("0")
            client.log_text(run.info.run_id, "x", "a.txt")
            self.assertEqual([f.path for f in client.list_artifacts(run.info.run_id)], ["a.txt"])
            self.assertEqual(client.get_experiment(run.info.experiment_id).name, "Default")
            self.assertEqual(mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/a.txt"), "x")
            n = name("ws")
            client.create_registered_model(n)
            client.create_model_version(n, run.info.artifact_uri, run_id=run.info.run_id)
        finally:
            del os.environ["MLFLOW_WORKSPACE"]
        with self.assertRaises(RestException):
            MlflowClient(URI).get_run(run.info.run_id)

    def test_projects_are_apart(self):
        mlflow.create_workspace("team-b")
        other = {"X-MLFLOW-WORKSPACE": "team-b"}
        run = requests.post(API + "runs/create", json={"experiment_id": "0"}, headers=other).json()["run"]["info"]
        self.assertNotEqual(run["experiment_id"], "0")
        path = f"{URI}/api/2.0/mlflow-artifacts/artifacts/{run['experiment_id']}/{run['run_id']}/artifacts/x"
        self.assertEqual(requests.put(path, data=b"x", headers=other).status_code, 200)
        self.assertEqual(requests.get(path).status_code, 404)
        self.assertEqual(requests.put(path, data=b"y").status_code, 404)
        self.assertEqual(requests.get(API + "runs/get", params={"run_id": run["run_id"]}).status_code, 404)
        self.assertEqual(requests.get(path, headers=other).text, "x")
        self.assertEqual(requests.post(API + "runs/search", json={"experiment_ids": [run["experiment_id"]]}).json(), {})


if __name__ == "__main__":
    unittest.main()
