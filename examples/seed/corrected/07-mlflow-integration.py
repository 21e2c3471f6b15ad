# MLflow Integration Example; MLFLOW_TRACKING_URI says where
import mlflow
import mlflow.sklearn
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split


def train_model():
    x, y = load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x / 16, y, random_state=0)
    model = LogisticRegression(C=1.0, max_iter=200).fit(x_train, y_train)
    return model, model.score(x_test, y_test), log_loss(y_test, model.predict_proba(x_test))


# Start experiment
mlflow.set_experiment("image-classification")
with mlflow.start_run():
    # Log parameters
    mlflow.log_param("regularisation", 1.0)
    mlflow.log_param("max_iter", 200)
    # Train model
    model, accuracy, loss = train_model()
    # Log metrics
    mlflow.log_metric("accuracy", accuracy)
    mlflow.log_metric("loss", loss)
    # Save model
    mlflow.sklearn.log_model(model, name="model", pip_requirements=["scikit-learn"])
print(f"accuracy {accuracy:.3f}")
