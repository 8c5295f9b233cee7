"""What can be wrong: checks by name, each with its evidence, its remedy and, where that is safe, its fix."""
