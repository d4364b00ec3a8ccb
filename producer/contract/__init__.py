"""What producers and workers agree on: names, the job, its message, the document's fields. Imports nothing heavy."""
