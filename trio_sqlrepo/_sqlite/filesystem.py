"""Whether a database would lie on a network file system, where WAL does not work.

WAL keeps its index in memory that all processes share, and trusts the locks of the file: neither
holds between machines (https://sqlite.org/wal.html, "must be on the same host computer"). Linux
tells in `/proc/self/mountinfo` what is mounted where; on other systems nothing is checked.
"""

from __future__ import annotations

import os
import re
from typing import Final

import attrs

from trio_sqlrepo._base.errors import OpenError

MOUNTS: Final = "/proc/self/mountinfo"

# Names of types, and of what follows `fuse.`. Not 9p, virtiofs and the like: what a virtual
# machine or a container shares with its host is one machine's disk.
_NAMES: Final = """
    nfs nfs4 cifs smb3 smbfs afs auristorfs ncpfs coda lustre gpfs beegfs ceph ceph-fuse glusterfs
    orangefs pvfs2 panfs davfs davfs2
    sshfs s3fs rclone s3ql goofys gcsfuse blobfuse blobfuse2 mountpoint-s3 juicefs seaweedfs mfs
    moosefs lizardfs curlftpfs smbnetfs gvfsd-fuse
"""
_NETWORK: Final = frozenset(_NAMES.split())
_CHUNK: Final = 65536
_POINT: Final = 4  # its place in a line
_ENDS: Final = frozenset({"", "/"})
_TAIL: Final = re.compile(r" - (?P<kind>\S+) (?P<source>\S*)")
_ESCAPE: Final = re.compile(r"\\([0-7]{3})")


@attrs.frozen
class Mount:
    """A file system and where it begins."""

    point: str
    kind: str  # as the kernel names it: "ext4", "nfs4", "fuse.sshfs"
    source: str  # a device, a server's path, or a name

    @property
    def is_network(self) -> bool:
        """Whether another machine has the files."""
        name = self.kind.removeprefix("fuse.")
        if (
            self.kind == "fuse"
        ):  # without a name of its own: davfs2 gives the address, others theirs
            name = "davfs" if "://" in self.source else self.source
        return name in _NETWORK


def refuse_network(path: str) -> None:
    """Refuse a database that lies on a network file system. Opens no file but the kernel's list.

    Args:
        path: of the database, absolute; it need not exist.

    Raises:
        OpenError: it does, with the file system's type and place.
    """
    try:
        table = _read(MOUNTS)
    except OSError:
        return  # another system, or a /proc that is hidden
    # SQLite follows links too, and makes its other files beside the real one.
    mount = mount_of(os.path.realpath(path), table)
    if mount is not None and mount.is_network:
        raise OpenError(
            f"{path} lies on a network file system ({mount.kind}, mounted at {mount.point}), where"
            " WAL mode can lose data: its shared memory and locks hold on one machine only. Put the"
            " database on a local disk."
        )


def _read(name: str) -> str:
    descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC)  # a file object costs twice as much
    try:
        parts = []
        while part := os.read(descriptor, _CHUNK):
            parts.append(part)
    finally:
        os.close(descriptor)
    return b"".join(parts).decode(errors="surrogateescape")


def mount_of(path: str, table: str) -> Mount | None:
    """Find the file system of a path in the text of `mountinfo`; None if no line fits.

    That with the longest mount point; of several at one point the last, which hides the others.
    """
    found: Mount | None = None
    for line in table.split("\n"):
        # id, parent, device, root, mount point, options, any number of tags, "-", type, source, …
        fields = line.split(" ", 5)
        if len(fields) <= _POINT + 1:
            continue  # the end of the list
        point = fields[_POINT]
        if "\\" in point:
            point = _decoded(point)
        if not path.startswith(point) or path[len(point.rstrip("/")) :][:1] not in _ENDS:
            continue
        tail = _TAIL.search(fields[-1])
        if tail is not None and (found is None or len(point) >= len(found.point)):
            found = Mount(point, tail["kind"], _decoded(tail["source"]))
    return found


def _decoded(text: str) -> str:
    return _ESCAPE.sub(lambda escape: chr(int(escape[1], 8)), text)
