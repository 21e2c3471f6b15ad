"""Autologging of other frameworks: each part runs where its library is installed (make conformance-mlflow)."""

import importlib.util
import os
import unittest

from suite import Case, name

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import mlflow
import numpy as np
import pandas as pd


def needs(library):
    return unittest.skipUnless(importlib.util.find_spec(library), f"{library} is not installed")


class Framework(Case):
    seconds = 30

    def setUp(self):
        super().setUp()
        mlflow.set_experiment(experiment_id=self.experiment)
        rng = np.random.default_rng(11)
        self.x = pd.DataFrame(rng.normal(size=(120, 4)).astype(np.float32), columns=list("abcd"))
        self.y = (self.x.a - self.x.b > 0).astype(int)

    def run_of_the_training(self):
        runs = self.client.search_runs([self.experiment])
        self.assertEqual(len(runs), 1)
        run = self.client.get_run(runs[0].info.run_id)
        self.assertEqual(run.info.status, "FINISHED")
        return run

    def history(self, run, key):
        return [m.value for m in self.client.get_metric_history(run.info.run_id, key)]

    def check_model(self, run, version_of=None):
        models = self.client.search_logged_models([self.experiment])
        self.assertEqual([(m.source_run_id, m.status) for m in models], [(run.info.run_id, "READY")])
        self.assertEqual([o.model_id for o in run.outputs.model_outputs], [models[0].model_id])
        if version_of:
            # As JSON: the client's entity leaves the model out.
            version = self.get("/api/2.0/mlflow/model-versions/get", name=version_of, version="1")["model_version"]
            self.assertEqual((version["run_id"], version["model_id"]), (run.info.run_id, models[0].model_id))
        return mlflow.pyfunc.load_model(f"models:/{version_of}/1" if version_of else f"models:/{models[0].model_id}")


@needs("xgboost")
class XGBoost(Framework):
    def test_train(self):
        import xgboost
        mlflow.xgboost.autolog(registered_model_name=(n := name("xgb")), log_model_signatures=True)
        self.addCleanup(mlflow.xgboost.autolog, disable=True)
        data = xgboost.DMatrix(self.x, self.y)
        xgboost.train({"max_depth": 2, "objective": "binary:logistic", "eval_metric": "logloss"}, data, num_boost_round=6,
                      evals=[(data, "train")], verbose_eval=False)
        run = self.run_of_the_training()
        self.assertEqual((run.data.params["max_depth"], run.data.params["num_boost_round"]), ("2", "6"))
        losses = self.history(run, "train-logloss")
        self.assertEqual(len(losses), 6)
        self.assertLess(losses[-1], losses[0])
        self.assertIn("feature_importance_weight.json", [f.path for f in self.client.list_artifacts(run.info.run_id)])
        loaded = self.check_model(run, n)
        self.assertGreater(float(((loaded.predict(self.x) > 0.5) == self.y).mean()), 0.8)

    def test_estimator(self):
        import xgboost
        mlflow.xgboost.autolog(log_models=False, log_datasets=True)
        self.addCleanup(mlflow.xgboost.autolog, disable=True)
        xgboost.XGBClassifier(n_estimators=3, max_depth=2).fit(self.x, self.y, eval_set=[(self.x, self.y)], verbose=False)
        run = self.run_of_the_training()
        self.assertEqual(run.data.params["max_depth"], "2")
        self.assertEqual(len(self.history(run, "validation_0-logloss")), 3)


@needs("lightgbm")
class LightGBM(Framework):
    def test_train(self):
        import lightgbm
        mlflow.lightgbm.autolog(registered_model_name=(n := name("lgb")))
        self.addCleanup(mlflow.lightgbm.autolog, disable=True)
        data = lightgbm.Dataset(self.x, self.y)
        lightgbm.train({"objective": "binary", "metric": "binary_logloss", "num_leaves": 4, "min_data_in_leaf": 5, "verbose": -1, "num_threads": 1},
                       data, num_boost_round=5, valid_sets=[data], valid_names=["train"])
        run = self.run_of_the_training()
        self.assertEqual((run.data.params["num_leaves"], run.data.params["num_boost_round"]), ("4", "5"))
        losses = self.history(run, "train-binary_logloss")
        self.assertEqual(len(losses), 5)
        self.assertLess(losses[-1], losses[0])
        self.assertTrue({"feature_importance_split.json", "feature_importance_gain.json"} <= {f.path for f in self.client.list_artifacts(run.info.run_id)})
        loaded = self.check_model(run, n)
        self.assertGreater(float(((loaded.predict(self.x) > 0.5) == self.y).mean()), 0.8)

    def test_estimator(self):
        import lightgbm
        mlflow.lightgbm.autolog(log_models=False)
        self.addCleanup(mlflow.lightgbm.autolog, disable=True)
        lightgbm.LGBMClassifier(n_estimators=3, num_leaves=4, n_jobs=1, verbose=-1).fit(self.x, self.y)
        self.assertEqual(self.run_of_the_training().data.params["num_leaves"], "4")


@needs("keras")
@needs("tensorflow")
class Keras(Framework):
    seconds = 60

    def test_fit(self):
        import keras
        mlflow.tensorflow.autolog(registered_model_name=(n := name("keras")), checkpoint=False)
        self.addCleanup(mlflow.tensorflow.autolog, disable=True)
        keras.utils.set_random_seed(3)
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(1, activation="sigmoid")])
        model.compile(optimizer=keras.optimizers.Adam(0.05), loss="binary_crossentropy", metrics=["accuracy"])
        model.fit(self.x.to_numpy(), self.y.to_numpy(), epochs=5, batch_size=32, verbose=0, validation_split=0.2)
        run = self.run_of_the_training()
        self.assertEqual((run.data.params["epochs"], run.data.params["batch_size"]), ("5", "32"))
        losses = self.history(run, "loss")
        self.assertEqual(len(losses), 5)
        self.assertLess(losses[-1], losses[0])
        self.assertEqual(len(self.history(run, "val_accuracy")), 5)
        self.assertIn("model_summary.txt", [f.path for f in self.client.list_artifacts(run.info.run_id)])
        loaded = self.check_model(run, n)
        self.assertEqual(loaded.predict(self.x.to_numpy()).shape, (120, 1))


@needs("lightning")
@needs("torch")
class PyTorch(Framework):
    seconds = 60

    def test_lightning(self):
        import lightning
        import torch

        class Net(lightning.LightningModule):
            def __init__(self):
                super().__init__()
                self.layer = torch.nn.Linear(4, 1)

            def forward(self, x):
                return self.layer(x)

            def training_step(self, batch, _):
                x, y = batch
                loss = torch.nn.functional.binary_cross_entropy_with_logits(self(x).squeeze(1), y)
                self.log("loss", loss, on_epoch=True, on_step=False)
                return loss

            def configure_optimizers(self):
                return torch.optim.Adam(self.parameters(), lr=0.1)

        mlflow.pytorch.autolog()
        self.addCleanup(mlflow.pytorch.autolog, disable=True)
        lightning.seed_everything(3, verbose=False)
        data = torch.utils.data.TensorDataset(torch.tensor(self.x.to_numpy()), torch.tensor(self.y.to_numpy(), dtype=torch.float32))
        trainer = lightning.Trainer(max_epochs=4, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=True)
        trainer.fit(net := Net(), torch.utils.data.DataLoader(data, batch_size=32))
        run = self.run_of_the_training()
        self.assertEqual(run.data.params["lr"], "0.1")
        losses = self.history(run, "loss")
        self.assertEqual(len(losses), 4)
        self.assertLess(losses[-1], losses[0])
        self.assertIn("model_summary.txt", [f.path for f in self.client.list_artifacts(run.info.run_id)])
        x = torch.tensor(self.x.to_numpy())
        (logged,) = self.client.search_logged_models([run.info.experiment_id], filter_string=f"source_run_id = '{run.info.run_id}'")
        self.assertEqual(mlflow.pytorch.load_model(logged.model_uri)(x).tolist(), net(x).tolist())
        with mlflow.start_run():
            info = mlflow.pytorch.log_model(net, name="net", pip_requirements=["torch"], serialization_format="pickle")
        self.assertEqual(mlflow.pytorch.load_model(info.model_uri)(x).shape, (120, 1))


if __name__ == "__main__":
    unittest.main()
