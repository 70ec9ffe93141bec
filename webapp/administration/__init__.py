"""One desk per noun that people change. Each checks a change, does it, audits it and says what happened."""
