# Kubeflow Pipeline Example
import kfp
from kfp import dsl
@dsl.pipeline(
name='ML Training Pipeline',
description='A pipeline for training and deploying ML models'
)
def ml_pipeline():
# Data preprocessing
preprocess = dsl.ContainerOp(
name='preprocess',
image='preprocess:latest',
command=['python', 'preprocess.py'],
file_outputs={'output': '/output/data'}
)
# Model training
train = dsl.ContainerOp(
name='train',
image='train:latest',
command=['python', 'train.py'],
arguments=['--input', preprocess.outputs['output']],
file_outputs={'model': '/output/model'}
)
# Model deployment
deploy = dsl.ContainerOp(
name='deploy',
image='deploy:latest',
command=['python', 'deploy.py'],
arguments=['--model', train.outputs['model']]
)
