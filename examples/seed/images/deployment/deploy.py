"""Says what it would deploy; a real one applies an InferenceService."""
print('model my-model version 1 is deployed')
