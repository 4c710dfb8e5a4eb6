"""Evaluation: checkpoint or masks, and a data set, to rows (one per expression); rows to a report.

Read with  evaluate.py (the whole), answers.py (predictions to rows), object_answers.py (pixels counted without masks),
           report/ (rows to tables and files), shortcut_baselines.py, calibrate.py (thresholds).
"""
