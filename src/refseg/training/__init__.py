"""From a recipe to weights: batches.py (what a step sees), stage.py (how it learns), run.py (stages, resuming)."""
