"""The receiver, without sockets."""
