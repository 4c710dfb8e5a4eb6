"""Evaluation: checkpoint and data set to rows (one per expression), rows to a report.

Read with  answers.py (the pass), overlap.py (pixels counted without masks), breakdown.py (rows to tables), shortcuts.py
           (answers that need no understanding), report.py (what is printed and written), calibrate.py (thresholds).
"""
