"""One file per bench of `fedcredit bench`. Each runs real jobs: processes, mutual TLS, stores, tables on disk."""
