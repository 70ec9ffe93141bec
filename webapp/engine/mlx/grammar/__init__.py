"""What an answer may still say, token by token: grammars, and the calls of each model family."""
