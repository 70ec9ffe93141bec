"""What people change while Hearth runs: one desk per noun, each change checked, done, audited and told in words."""
