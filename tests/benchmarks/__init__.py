"""Tests of the benchmark suite: that it runs, and that its arithmetic is right."""
