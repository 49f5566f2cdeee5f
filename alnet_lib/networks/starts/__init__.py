"""What a network's convolutional blocks begin with: a random start, ImageNet weights, the kit's own `cells`, or a file.

May import from `networks` (`architectures`, `network`, `timm_body`) and from the layers below.
"""
