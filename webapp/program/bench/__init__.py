"""`hearth bench`: clients stream chats from a server at the same time and measure it. Speaks plain HTTP."""
