"""The most frequent reads, answered without going through the framework.

Under uvicorn, the framework and its server add some 100 us to each request. Here, a plain GET of a
hot endpoint goes from the parser to Redis and back to the socket without a task, a scope or a
message. All other requests take the ordinary route, which every hot endpoint has, too: both are
derived from the same table, and a test compares their answers byte by byte.
"""
