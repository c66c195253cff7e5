"""What `fedcredit bench verify` is made of: a made-up provider, servers, a load, and what they cost."""
