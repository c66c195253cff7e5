"""Who may have which question about whom answered, and why; and the ledger of what became of the answers."""
