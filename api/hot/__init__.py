"""The reads that everybody makes, answered in front of the framework.

Under uvicorn a request costs the framework and its server some 100 us before and after the work.
Here a plain GET of a hot endpoint goes from the parser to Redis and back to the socket without a
task, a scope or a message. Whatever is not plain takes the ordinary route, which every hot endpoint
has, too: both come from the same table, and a test compares them byte by byte.
"""
