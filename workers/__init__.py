"""Celery workers: take photos in on many machines. Ids go in and out, nothing else.

Importing this package loads nothing.
"""
