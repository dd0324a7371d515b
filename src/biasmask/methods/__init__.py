"""The maths of the methods: torch only, no Lightning, no config, no file."""
