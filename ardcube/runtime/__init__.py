"""Threads, buffers and logging context of a worker process.

Callers hand in work and get futures or memory back; all chunks of a process share what is here.
"""
