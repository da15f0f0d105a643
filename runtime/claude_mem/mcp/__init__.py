"""The Model Context Protocol: tools by which agents ask their memory themselves, over the services.

The protocol is the official SDK's; what is particular to HTTP (keys, headers, statuses, streams) is the HTTP layer's.
"""
