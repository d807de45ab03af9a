"""Threads, buffers and logging context of a worker process.

Work comes in; futures and memory go out. All chunks of a process share these threads and buffers.
"""
