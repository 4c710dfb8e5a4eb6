"""Weights of the papers' authors: one file an authors' layout; `official.py` reads and writes the files.

A layout's file has four functions, written for the model that the authors save under "model":

preset_of(shapes)        which preset a release is, by the shapes of its tensors; InvalidInput if none
official_names(network)  our key -> the release's key, or keys whose tensors stacked along axis 0 are ours
aliases(network)         release key -> the release key that holds the same tensor
unused(network)          release keys that never act, with a filling for the way back

and a fifth where the shapes differ by axes of length 1:

release_shapes(network)  our key -> the shape of each of its release tensors
"""

CONVERSIONS = {
    "dmmi": "refseg.conversion.dmmi",
    "cmirnet": "refseg.conversion.cmirnet",
}
