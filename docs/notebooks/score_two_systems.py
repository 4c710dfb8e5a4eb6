# %% [markdown]
# # Which of two systems is better?
#
# Both answer the same expressions; rows are paired, so that a difference is told from chance. Here the bundled
# network against rules that read the sentence and choose among the same objects.

# %%
from pathlib import Path
from tempfile import TemporaryDirectory

import refseg
from refseg import protocols
from refseg.evaluation.comparison import compare
from refseg.evaluation.rows import read_rows

scenes = refseg.load_dataset("drawn_scenes", split="val", count=20)
folder = TemporaryDirectory()
for name in ("selector", "reader"):
    weights = refseg.load(name, finder="selector").checkpoint if name == "reader" else name
    report = refseg.evaluate(weights, scenes, protocols=["lavt"], out=f"{folder.name}/{name}")
    print(name, {metric: round(100 * report.metrics["lavt"][metric], 2) for metric in ("oIoU", "mIoU", "Prec@0.9")})

# %% [markdown]
# The same answers have another figure under another protocol; a figure without its protocol says nothing.

# %%
for protocol in ("standard", "lavt"):
    print(protocol, round(100 * report.metrics[protocol]["mIoU"], 3))

# %% [markdown]
# Paired differences with their intervals, resampled over images, and Wilcoxon's test.

# %%
a, b = (read_rows(Path(folder.name) / name) for name in ("selector", "reader"))
found = compare(a, b, protocols.build("standard"))
for metric, difference in found.metrics.items():
    if difference.interval:
        low, high = (100 * value for value in difference.interval)
        print(f"{metric}: {100 * (difference.b - difference.a):+.2f} ({low:+.2f} to {high:+.2f})")
print(f"p = {found.p_value:.3f} on {found.tested} by image")

# %% [markdown]
# Masks of any other program are scored the same way: `refseg score MASKS drawn_scenes --split val`, then `refseg
# compare A B`. [Evaluation](../evaluation.md) says how the masks must lie.
