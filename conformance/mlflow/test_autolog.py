"""Autologging of scikit-learn: what training code gets for one line."""

import unittest

from suite import Case, name

import mlflow
import numpy as np
import pandas as pd


class Sklearn(Case):
    seconds = 20

    def setUp(self):
        super().setUp()
        mlflow.set_experiment(experiment_id=self.experiment)
        self.addCleanup(mlflow.sklearn.autolog, disable=True)
        rng = np.random.default_rng(7)
        self.x = pd.DataFrame(rng.normal(size=(80, 3)), columns=["a", "b", "c"])
        self.y = (self.x.a + self.x.b > 0).astype(int)

    def one(self, text=""):
        runs = self.client.search_runs([self.experiment], text)
        self.assertEqual(len(runs), 1)
        return self.client.get_run(runs[0].info.run_id)

    def test_classifier(self):
        from sklearn.linear_model import LogisticRegression
        mlflow.sklearn.autolog(log_input_examples=True, log_model_signatures=True, pos_label=1, registered_model_name=(n := name("auto")))
        LogisticRegression(C=0.5).fit(self.x, self.y)
        run = self.one()
        self.assertEqual((run.info.status, run.data.params["C"], run.data.params["solver"]), ("FINISHED", "0.5", "lbfgs"))
        self.assertEqual(run.data.tags["estimator_name"], "LogisticRegression")
        for key in ["accuracy_score", "f1_score", "log_loss", "precision_score", "recall_score", "roc_auc", "score"]:
            self.assertIn("training_" + key, run.data.metrics)
        self.assertGreater(run.data.metrics["training_accuracy_score"], 0.8)
        self.assertIn("training_confusion_matrix.png", [f.path for f in self.client.list_artifacts(run.info.run_id)])
        self.assertEqual([t.value for d in run.inputs.dataset_inputs for t in d.tags], ["train"])
        models = self.client.search_logged_models([self.experiment])
        self.assertEqual([(m.source_run_id, m.status) for m in models], [(run.info.run_id, "READY")])
        self.assertEqual({m.key for m in models[0].metrics} & {"training_accuracy_score"}, {"training_accuracy_score"})
        self.assertEqual(models[0].params["C"], "0.5")
        self.assertEqual([o.model_id for o in run.outputs.model_outputs], [models[0].model_id])
        version = self.client.get_model_version(n, "1")
        self.assertEqual((version.run_id, version.status), (run.info.run_id, "READY"))
        loaded = mlflow.pyfunc.load_model(f"models:/{n}/1")
        self.assertEqual([c.name for c in loaded.metadata.get_input_schema()], ["a", "b", "c"])
        self.assertGreater(float((loaded.predict(self.x) == self.y).mean()), 0.8)
        self.assertEqual(loaded.metadata.load_input_example(f"models:/{n}/1").shape, (5, 3))

    def test_metrics_after_training(self):
        from sklearn.linear_model import LinearRegression
        mlflow.sklearn.autolog(log_models=False)
        from sklearn.metrics import mean_squared_error  # after autolog, which replaces it
        with mlflow.start_run() as run:
            model = LinearRegression().fit(self.x, self.x.a * 2)
            mean_squared_error(self.x.a * 2, model.predict(self.x))
            model.score(self.x, self.x.a * 2)
        metrics = self.client.get_run(run.info.run_id).data.metrics
        self.assertTrue(any(k.startswith("mean_squared_error") for k in metrics), metrics)
        self.assertTrue(any(k.startswith("LinearRegression_score") for k in metrics), metrics)
        self.assertAlmostEqual(metrics["training_r2_score"], 1)
        self.assertEqual(self.client.search_logged_models([self.experiment]), [])

    def test_pipeline(self):
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        mlflow.sklearn.autolog(log_models=False, log_datasets=False)
        make_pipeline(StandardScaler(), RandomForestClassifier(n_estimators=3)).fit(self.x, self.y)
        run = self.one()
        self.assertEqual(run.data.params["randomforestclassifier__n_estimators"], "3")
        self.assertEqual(run.inputs.dataset_inputs, [])

    def test_grid_search(self):
        from sklearn.model_selection import GridSearchCV
        from sklearn.tree import DecisionTreeClassifier
        mlflow.sklearn.autolog(log_models=False, max_tuning_runs=3)
        GridSearchCV(DecisionTreeClassifier(), {"max_depth": [1, 2, 3, 4], "min_samples_leaf": [1]}, cv=2).fit(self.x, self.y)
        parent = self.one("params.best_max_depth LIKE '%'")
        self.assertIn("best_cv_score", parent.data.metrics)
        children = self.client.search_runs([self.experiment], f"tags.mlflow.parentRunId = '{parent.info.run_id}'", order_by=["metrics.mean_test_score DESC"])
        self.assertEqual(len(children), 3, "the best of the four")
        best = [c for c in children if c.data.params["max_depth"] == parent.data.params["best_max_depth"]]
        self.assertEqual([c.data.metrics["mean_test_score"] for c in best], [parent.data.metrics["best_cv_score"]])
        scores = [c.data.metrics["mean_test_score"] for c in children]
        self.assertEqual(scores, sorted(scores, reverse=True))
        self.assertEqual(scores[0], parent.data.metrics["best_cv_score"])
        self.assertIn("cv_results.csv", [f.path for f in self.client.list_artifacts(parent.info.run_id)])

    def test_a_failed_training(self):
        from sklearn.linear_model import LogisticRegression
        mlflow.sklearn.autolog(log_models=False)
        with self.assertRaises(ValueError):
            LogisticRegression().fit(self.x, [0] * len(self.x))
        self.assertEqual(self.one().info.status, "FAILED")


if __name__ == "__main__":
    unittest.main()
