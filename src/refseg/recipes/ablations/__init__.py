"""The papers' ablation tables as configs."""
