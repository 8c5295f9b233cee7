"""Links and codes that are mailed: how they are made, put into a letter, sent, and taken back as a proof."""
