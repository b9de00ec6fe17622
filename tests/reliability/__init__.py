"""What a run directory survives, by trial: one implementation for a small sample in the tests and for the full counts.

`python -m reliability` in `tests/` makes the full counts and prints the table; `test_run_survival.py` a few of each.
"""
