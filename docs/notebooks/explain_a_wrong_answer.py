# %% [markdown]
# # Why is this answer wrong?
#
# A third of split `held_out` uses words as training never showed them: "dotted" where it is denied, hearts to say
# where something else is. The bundled weights fail there most, so it is a good place to look.

# %%
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import refseg
from refseg.evaluation.rows import read_rows

with TemporaryDirectory() as folder:
    report = refseg.evaluate("selector", "drawn_scenes", split="held_out", count=60, out=f"{folder}/held_out")
    rows = read_rows(Path(folder) / "held_out")
print({name: round(100 * value, 1) for name, value in report.metrics["standard"].items() if name in ("oIoU", "N-acc")})

# %% [markdown]
# What is wrong with an answer is told in a word or two, and, where the network knows objects, what that is due to:
# an object that was not found, the choice, or a mask.

# %%
print(Counter(row.error for row in rows).most_common())
print(Counter(row.cause for row in rows if row.cause and row.error != "correct").most_common())

# %% [markdown]
# One of the wrong ones, by its id, with what was meant.

# %%
from refseg.masks.overlay import tinted

wrong = next(row for row in rows if row.error == "wrong object" and row.type == "negation")
scenes = refseg.load_dataset("drawn_scenes", split="held_out")
number = int(wrong.image_id.rpartition("-")[2])
scene = scenes[number]
index = [expression.text for expression in scene.expressions].index(wrong.expression)
segmenter = refseg.load()
result = segmenter(scene.image, wrong.expression)
print(wrong.expression)
result

# %%
from PIL import Image

Image.fromarray(tinted(scene.image, scene.mask(index), (255, 0, 0))).resize((256, 256))  # what was meant

# %% [markdown]
# What the network attended to: its map of objects, and how much each word counted, block by block.

# %%
from refseg.inspection.attention import explain, figure

explanation = explain(segmenter, scene.image, wrong.expression)
figure(explanation)

# %% [markdown]
# And how the sentence is read by rules: `reader` parses it to a program and evaluates that on the objects that were
# found, here by the same network. If this finds what was meant, the objects are there and the choice is to blame.

# %%
from refseg.inspection.reading import reading_lines

reader = refseg.load("reader", finder="selector")
read = reader(scene.image, wrong.expression)
print(read.verdict)
print("\n".join(reading_lines(read)))
