"""What a process of a command sets up before it does anything."""
