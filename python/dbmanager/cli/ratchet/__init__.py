"""The ratchet behind ``dbmanager check``: what is allowed, what there is, and how they differ."""
