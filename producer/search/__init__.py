"""Searches the vectors of a collection: with MongoDB's vector search, or by comparing all of them in this process.

Needs the extra `search`. It contains no model: a worker embeds texts and pictures.
"""
