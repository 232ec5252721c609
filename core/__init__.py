"""What does everybody stand on? Knows no other room."""
