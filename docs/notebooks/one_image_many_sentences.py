# %% [markdown]
# # One image, many sentences
#
# The image is encoded once; each further sentence costs a fraction of it.

# %%
from time import perf_counter

import refseg

scene = refseg.load_dataset("drawn_scenes", split="test")[3]
sentences = [expression.text for expression in scene.expressions]
segmenter = refseg.load()
segmenter(scene.image, sentences[0])  # warms up

begin = perf_counter()
segmenter(scene.image, sentences[0])
one = perf_counter() - begin
begin = perf_counter()
results = segmenter(scene.image, sentences)
many = perf_counter() - begin
print(f"{len(sentences)} sentences take {many / one:.1f} times as long as one")

# %% [markdown]
# The answers, beside what is true: a drawn scene knows what each of its sentences means.

# %%
import numpy as np


def iou(mask, truth):
    union = np.count_nonzero(mask | truth)
    return np.count_nonzero(mask & truth) / union if union else 1.0


for index, result in enumerate(results[:8]):
    print(f"{iou(result.mask, scene.mask(index)):.2f}  {len(scene.expressions[index].targets)} meant  {result}")

# %% [markdown]
# To keep an encoded image for later questions, as a page or a robot does:

# %%
(encoded,) = segmenter.encode([scene.image])
print(segmenter(encoded, "the largest thing").verdict)
print(segmenter(encoded, "all things without dots").verdict)

# %% [markdown]
# Many images are one call as well, `segmenter.many("photos", ["the cup"])`, with images decoded ahead; on the
# command line `refseg segment photos "the cup" --out answers` goes on where it was stopped. [Many
# images](../segmenting.md) says more.
