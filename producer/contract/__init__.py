"""What producers and workers agree on: names, the job, its message, the fields of a document.

`records` and `mongodb` need pymongo, `redis_errors` needs redis-py. The other modules need only Python.
"""
