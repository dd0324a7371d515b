"""A package of the project, so that none of the same name among the installed ones takes its place."""
