"""Studies: from a recipe to trained models, from models to tables, from tables to a report.

`plan`, `executor`, `store`, `claims` and `report` are the same for every study. `native` (models trained from scratch)
and `graft` (increments on a pretrained base) say what is trained, what is measured and what was published.
"""
