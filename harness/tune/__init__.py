"""Tuning: the same suite file with a space, an Optuna study an architecture, equal budgets.

`settings`, `space`, `objective` and `study` read and check the file; `storage`, `samplers`,
`bookkeeping` and `heartbeat` deal with Optuna; `batch` and `worker` train what it asks for; `best`
and `run` test what was chosen.
"""
