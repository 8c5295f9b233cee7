"""Sessions of the platform's own logins: how long they wait, and as whom they run what is not theirs to trust."""
