"""Image classifiers on timm backbones."""
