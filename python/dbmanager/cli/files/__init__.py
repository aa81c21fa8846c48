"""Files that commands change: all or none of them, and with a way back."""
