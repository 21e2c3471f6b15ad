# TensorFlow Serving Client
import tensorflow as tf
import numpy as np
# Create client
client = tf.contrib.util.make_tensor_proto(np.array([1, 2, 3]))
# Make prediction
response = requests.post(
'http://tensorflow-serving:8501/v1/models/my-model:predict',
json={'instances': client.numpy().tolist()}
)
prediction = response.json()['predictions']
