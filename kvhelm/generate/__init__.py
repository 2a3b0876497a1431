"""Files that follow from the models: CRD, JSON schemas, the chart's values and schema, docs tables.

`python -m kvhelm.generate` writes them, `--check` prints what differs and fails.
"""
