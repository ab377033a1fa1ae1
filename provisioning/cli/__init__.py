"""The command line: commands, options, the console, and the JSON documents."""
