"""A loopback Azure and W&B: real SDKs on their production host names, no account, no network.

For development, tests and the demo. Nothing in provisioning/ or function_app/ knows that it exists.
"""
