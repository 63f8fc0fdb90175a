"""The caption-conditioned image model: reader -> merger -> convnet, trained on masked pictures.

It is the built-in workload of the tuner and knows nothing of it: `models.train.train` is a plain
generator of measurements. See README.md in this folder for the flow of data and measured figures.
"""
