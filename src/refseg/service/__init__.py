"""The HTTP service: images and expressions over the network to results; nothing here imports torch but the worker."""
