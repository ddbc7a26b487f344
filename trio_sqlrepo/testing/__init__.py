"""The test kit: what applications test their repositories with, and this library itself.

Needs the extra `testing`. One module for each purpose:
"""
