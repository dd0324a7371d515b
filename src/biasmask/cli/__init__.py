"""What the entry points answer before anything heavy is imported: help, lists, and the nearest name to a mistyped one."""
