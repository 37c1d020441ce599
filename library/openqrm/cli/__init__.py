"""The command line `openqrm`. Modules of commands are imported when their command runs, and not before."""
