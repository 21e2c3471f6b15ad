# MLflow Integration Example
import mlflow
import mlflow.pytorch
# Start experiment
mlflow.set_experiment("image-classification")
# Log parameters
mlflow.log_param("learning_rate", 0.01)
mlflow.log_param("batch_size", 32)
# Train model
model = train_model()
# Log metrics
mlflow.log_metric("accuracy", 0.95)
mlflow.log_metric("loss", 0.05)
# Save model
mlflow.pytorch.log_model(model, "model")
