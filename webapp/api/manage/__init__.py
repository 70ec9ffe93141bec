"""The routes for programs that manage or watch Hearth."""
