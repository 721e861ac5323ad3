"""A client of container registries: names, credentials, tokens, manifests and blobs, over HTTP.

One rule: nothing is trusted that was not checked against its digest. Knows nothing of builders, code or configs.
"""
