"""The whole stack over loopback, judged by an observer of its own."""
