# TensorFlow Serving Client: plain HTTP, so neither TensorFlow nor tf.contrib (gone since 2.0) is needed
import os

import requests

url = os.environ.get('MODEL_URL', 'http://tensorflow-serving:8501')
# Make prediction
response = requests.post(
    f'{url}/v1/models/my-model:predict',
    json={'instances': [1.0, 2.0, 3.0]},
    timeout=10
)
response.raise_for_status()
prediction = response.json()['predictions']
print(prediction)
