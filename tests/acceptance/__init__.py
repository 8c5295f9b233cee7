"""What a project promises its clients, tried by the official ones: on an embedded installation and in containers alike."""
