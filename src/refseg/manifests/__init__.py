"""Manifests of millions of images: cut into pieces, each of which becomes one part file, on any number of machines."""
