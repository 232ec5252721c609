"""What is owed to a chat: how a reply is claimed, ended, stopped, handed over and recovered."""
