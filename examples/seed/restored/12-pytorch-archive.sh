# Create PyTorch Model Archive
torch-model-archiver --model-name my-model \
  --version 1.0 \
  --model-file model.py \
  --serialized-file model.pth \
  --handler image_classifier \
  --export-path model-store
