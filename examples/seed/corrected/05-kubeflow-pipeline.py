# Kubeflow Pipeline Example, for the kfp SDK 2 (ContainerOp was removed with 2.0)
from kfp import compiler, dsl


@dsl.container_component
def preprocess(output: dsl.Output[dsl.Dataset]):
    return dsl.ContainerSpec(image='preprocess:1.0', command=['python', 'preprocess.py'], args=['--output', output.path])


@dsl.container_component
def train(data: dsl.Input[dsl.Dataset], model: dsl.Output[dsl.Model]):
    return dsl.ContainerSpec(image='train:1.0', command=['python', 'train.py'], args=['--input', data.path, '--model', model.path])


@dsl.container_component
def deploy(model: dsl.Input[dsl.Model]):
    return dsl.ContainerSpec(image='deploy:1.0', command=['python', 'deploy.py'], args=['--model', model.path])


@dsl.pipeline(
    name='ml-training-pipeline',
    description='A pipeline for training and deploying ML models'
)
def ml_pipeline():
    data = preprocess()
    trained = train(data=data.outputs['output'])
    deploy(model=trained.outputs['model'])


if __name__ == '__main__':
    compiler.Compiler().compile(ml_pipeline, 'ml-training-pipeline.yaml')
