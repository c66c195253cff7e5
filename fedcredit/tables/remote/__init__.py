"""Tables that are not files: PostgreSQL tables and views (库表), HTTP interfaces (接口). Read once, into a snapshot."""
