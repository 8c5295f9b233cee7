"""How long a step may take, and what ends one that cannot end itself."""
