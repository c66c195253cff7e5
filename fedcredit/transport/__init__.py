"""Links between parties: in one process for tests (`memory`), over mutual TLS (`grpc`)."""
