"""`hearth bench`: clients that stream chats from a server at the same time, and what they saw. Speaks plain HTTP."""
