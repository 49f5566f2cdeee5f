"""Inside the networks: attribution, feature maps, the effect of augmentation."""
