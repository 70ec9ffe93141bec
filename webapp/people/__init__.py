"""Who may do what: keys, the sessions of browsers, tickets, and the one decision over them."""
