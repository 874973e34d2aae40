"""Measurements of Arena, each with the peer it is compared with beside it: `python -m benchmarks [NAME…]`."""
