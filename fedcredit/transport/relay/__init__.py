"""Links of a department that may only dial out: mutual TLS from end to end, its bytes carried by the platform.

`hub` is the platform's part, `service` its face to the network; `member` is the department's; `routes` gives everybody
a local address for a peer that is reached this way, so that gRPC dials it as it dials any other.
"""
