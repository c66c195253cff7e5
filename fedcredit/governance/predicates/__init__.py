"""Predicates: questions about one subject's records that are answered yes, no or unknown where the records lie.

Each is data (`questions/*.toml`), an expression in a small language of its own: `grammar` reads it, `compiler` checks
it against the catalogs and makes a program, `vector` and `single` run the program. The files are read by
`fedcredit.runtime.predicate_file`.
"""
