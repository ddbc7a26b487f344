"""The test kit: what applications test their repositories with, and this library itself.

Needs the extra `testing`. One module for each purpose:

- `trio_sqlrepo.testing.histories`: records what concurrent tasks did, and judges whether it was
  linearizable, or serializable.
"""
