# %% [markdown]
# # From your own data to a fine-tuned model
#
# Your data are a table: a line of JSON for each sentence, with the image and the mask of what it means. Here drawn
# scenes stand for photographs; the lines are the same.

# %%
import json
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

import refseg

folder = TemporaryDirectory()
own = Path(folder.name)
lines = []
for number, scene in enumerate(refseg.load_dataset("drawn_scenes", split="train", count=24)):
    Image.fromarray(scene.image).save(own / f"{number}.png")
    for index, expression in enumerate(scene.expressions[:6]):
        mask = []  # the sentence means nothing that is here
        if expression.targets:
            mask = f"{number}-{index}-mask.png"
            Image.fromarray(scene.mask(index)).save(own / mask)
        lines.append({"image": f"{number}.png", "expression": expression.text, "mask": mask})
(own / "own.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
print(lines[0])

# %% [markdown]
# What is missing, damaged or odd is told before anything is trained.

# %%
from refseg.datasets.tools.check import examine

data = refseg.load_dataset("jsonl", split="all", root=own / "own.jsonl")
print([finding.what for finding in examine(data) if finding.verdict != "ok"] or "nothing is wrong")

# %% [markdown]
# Weights to start from: for photographs those of a paper's authors (`refseg weights get lavt_swin_base/refcoco`).
# Here a small network with fresh weights stands in, so that this page runs in a minute on two cores.

# %%
from refseg.preprocessing.transform import Preprocessing
from refseg.recipes import find_recipe
from refseg.recipes.recipe import FileData

start = find_recipe("lavt_small")
stage = start.stages[-1].replace(steps=24, images=4, expressions_per_image=4, validate_every=12)
recipe = start.replace(
    name="own",
    data=FileData(
        dataset="jsonl",
        settings={"root": str(own / "own.jsonl")},
        item="image",
        held_out=0.25,
        workers=0,
        preprocessing=Preprocessing(side=128),
    ),
    initial={},
    stages=(stage,),
)
refseg.train(recipe, own / "run")

# %% [markdown]
# The weights, used as any others. So few steps teach little; a few hundred photographs and twenty epochs are what
# [Fine-tuning](../finetune.md) is about.

# %%
segmenter = refseg.load(own / "run" / "weights")
segmenter(own / "0.png", lines[0]["expression"])
