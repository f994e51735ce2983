"""Throughput and CPU of whole processes, loopback only."""
