# %% [markdown]
# # Test a claim of a paper
#
# A study is a table of a paper: its rows as settings of one recipe, the paper's figures, and what the paper claims
# with them.

# %%
from refseg.studies import find_study

table = find_study("cmirnet_table3")
print(table.table)
for number, row in enumerate(table.rows, start=1):
    print(number, row.label, *row.settings, "->", row.figures)

# %% [markdown]
# The claims are comparisons of rows. CMIRNet's Table IV tests them with Wilcoxon's signed-rank test over the
# figures of Table III: few pairs, so the test is exact. Recomputed from the printed figures, each pair of rows has
# this p-value:

# %%
from refseg.studies.claims import signed_rank

for claim in table.claims:
    for below in claim.below:
        labels = table.rows[claim.above - 1].label, table.rows[below - 1].label
        print(f"{labels[0]} over {labels[1]}: p = {signed_rank(table, claim.above, below):.5f}")

# %% [markdown]
# Whether a claim holds in training of one's own is another question. On a laptop the small presets on drawn scenes
# stand in; both rows are trained and scored alike, and their answers are compared pair by pair:
#
# ```sh
# refseg study cmirnet_table3 --small --rows 1,8 --set precision=bf16    # 20 minutes a row, one core with bfloat16
# refseg study cmirnet_table3 --rows 1,8 --devices 8 # the paper's own setting, with its data
# ```
#
# What a row would train, without training it:

# %%
from refseg.studies.resolve import resolve_recipe

for number in (1, 8):
    recipe = resolve_recipe(table, table.rows[number - 1], small=True)
    print(number, recipe.network, recipe.config, recipe.stages[-1].steps, "steps")

# %% [markdown]
# Rows that are equal are trained once, a study that was stopped goes on where it was, and a table of figures, the
# claims with their intervals and a page with plots are written after every row ([Studies](../studies.md)).
