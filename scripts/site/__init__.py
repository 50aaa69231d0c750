"""What of the documentation is read off the program."""
