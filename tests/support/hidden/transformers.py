"""Stands before the package `transformers`, which no worker needs: only a test compares another model with it.

Where it can be imported, open_clip imports it, in every worker, for seconds.
"""

raise ImportError("transformers is not part of a worker's installation")
