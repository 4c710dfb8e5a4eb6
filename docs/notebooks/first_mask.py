# %% [markdown]
# # First masks
#
# An image and an expression in, the mask of what it refers to out. The weights that come with refseg know drawn
# scenes only: coloured, patterned shapes. Nothing is downloaded here.

# %%
import refseg

scene = refseg.load_dataset("drawn_scenes", split="test")[0]  # drawn now
segmenter = refseg.load()
result = segmenter(scene.image, "the red square")
result

# %% [markdown]
# A result knows whether anything was found, how sure that is, and where it is.

# %%
print(result.verdict)
print(f"exists: {result.exists:.3f}, box: {result.box}, pixels: {result.area}")
print(result.mask.shape, result.mask.dtype)

# %% [markdown]
# An expression may refer to several things; the result is then also the sequence of its objects, from left to
# right.

# %%
several = segmenter(scene.image, "the pentagons")
for instance in several:
    print(instance)
several

# %% [markdown]
# Or to nothing. Then the mask is empty, instead of wrong.

# %%
nothing = segmenter(scene.image, "the green ring")
print(nothing.found, nothing.verdict, int(nothing.mask.sum()))

# %% [markdown]
# `save` writes a picture, the mask as an array, or everything as JSON; `rle()` and `polygons()` give the forms that
# other programs read.

# %%
from pathlib import Path
from tempfile import TemporaryDirectory

with TemporaryDirectory() as folder:
    several.save(f"{folder}/pentagons.png")
    several.save(f"{folder}/pentagons.json")
    print(sorted(path.name for path in Path(folder).iterdir()))
print(several.rle()["size"], len(several.polygons()))

# %% [markdown]
# Photographs need a finder, fetched once by `refseg weights get coco80`; then `refseg.load("reader")("photo.jpg",
# "the second dog from the left")`. [Photographs](../photographs.md) says what it can and cannot.
