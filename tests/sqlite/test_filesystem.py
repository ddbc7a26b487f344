"""Network file systems are found by what the kernel says is mounted, and refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.notes import open_notes
from tests.sqlite.support import Opener
from trio_sqlrepo import OpenError, PoolConfig
from trio_sqlrepo._base.driver import Role
from trio_sqlrepo._sqlite import filesystem
from trio_sqlrepo._sqlite.filesystem import Mount, mount_of, refuse_network

TABLE = """\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 27 0:30 / /srv rw,relatime shared:2 master:1 - tmpfs tmpfs rw,size=1k
31 30 0:31 /export /srv/data rw,relatime - nfs4 server:/export rw,vers=4.2
32 27 0:32 / /mnt/two\\040words\\134 rw - fuse.sshfs me@host:/a\\040b rw
33 27 0:33 / /over rw - nfs old:/ rw
34 27 0:34 / /over rw - ext4 /dev/vdb rw
35 27 0:35 / /nameless rw - tmpfs  rw
36 27 0:36 / /cut/off rw nothing
"""


@pytest.mark.parametrize(
    ("path", "mount"),
    [
        ("/app.db", Mount("/", "ext4", "/dev/vda")),
        ("/srv/app.db", Mount("/srv", "tmpfs", "tmpfs")),
        ("/srv", Mount("/srv", "tmpfs", "tmpfs")),
        ("/srv2/app.db", Mount("/", "ext4", "/dev/vda")),  # begins alike
        ("/srv/data/deep/app.db", Mount("/srv/data", "nfs4", "server:/export")),
        ("/srv/database.db", Mount("/srv", "tmpfs", "tmpfs")),
        ("/mnt/two words\\/x.db", Mount("/mnt/two words\\", "fuse.sshfs", "me@host:/a b")),
        ("/over/x.db", Mount("/over", "ext4", "/dev/vdb")),  # the last hides the others
        ("/nameless/x.db", Mount("/nameless", "tmpfs", "")),
        ("/cut/off/x.db", Mount("/", "ext4", "/dev/vda")),
    ],
)
def test_the_longest_mount_point_counts(path: str, mount: Mount) -> None:
    assert mount_of(path, TABLE) == mount


def test_an_order_of_another_kind_changes_nothing() -> None:
    lines = TABLE.splitlines()
    assert mount_of("/srv/data/x.db", "\n".join(reversed(lines))) == mount_of(
        "/srv/data/x.db", TABLE
    )
    assert mount_of("/srv/data/x.db", "") is None
    assert mount_of("/srv/data/x.db", "what is this?\n\n1 2 3 4 /srv\n") is None


@pytest.mark.parametrize(
    ("kind", "source"),
    [
        *((kind, "server:/x") for kind in ("nfs", "nfs4", "afs", "ceph", "lustre", "glusterfs")),
        *((kind, "//server/x") for kind in ("cifs", "smb3", "smbfs", "ncpfs", "coda", "gpfs")),
        *((f"fuse.{kind}", "x") for kind in ("sshfs", "s3fs", "rclone", "glusterfs", "ceph")),
        ("beegfs", "beegfs_nodev"),
        ("davfs", "https://server/x"),
        ("fuse", "https://server/x"),
        ("fuse", "mountpoint-s3"),
    ],
)
def test_what_another_machine_has_is_a_network(kind: str, source: str) -> None:
    assert Mount("/mnt", kind, source).is_network


@pytest.mark.parametrize(
    ("kind", "source"),
    [
        *((kind, "/dev/vda") for kind in ("ext4", "xfs", "btrfs", "zfs", "f2fs", "fuseblk")),
        *((kind, "none") for kind in ("9p", "overlay", "tmpfs", "virtiofs", "fakeowner")),
        *((kind, "bindfs") for kind in ("fuse", "fuse.bindfs")),
    ],
)
def test_what_this_machine_has_is_none(kind: str, source: str) -> None:
    assert not Mount("/mnt", kind, source).is_network


# -- opening ---------------------------------------------------------------------------------------


class Kernel:
    """Says that the test's directory is mounted from another machine, and counts who asks."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked = 0
        self.remote = tmp_path / "remote"
        self.remote.mkdir()
        self.table = f"1 0 0:1 / / rw - ext4 x rw\n2 1 0:2 / {self.remote} rw - nfs4 server:/ rw\n"
        monkeypatch.setattr(filesystem, "_read", self.read)

    def read(self, name: str) -> str:
        assert name == "/proc/self/mountinfo"
        self.asked += 1
        return self.table


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    return Kernel(tmp_path, monkeypatch)


async def test_a_database_on_a_network_is_refused_and_not_made(kernel: Kernel) -> None:
    path = kernel.remote / "app.db"
    with pytest.raises(OpenError) as caught:
        async with open_notes(path):
            pass
    assert str(caught.value) == (
        f"{path} lies on a network file system (nfs4, mounted at {kernel.remote}), where WAL mode"
        " can lose data: its shared memory and locks hold on one machine only. Put the database on"
        " a local disk."
    )
    assert list(kernel.remote.iterdir()) == []


def test_links_are_followed(kernel: Kernel, opened: Opener, tmp_path: Path) -> None:
    (tmp_path / "directory").symlink_to(kernel.remote)
    (tmp_path / "file.db").symlink_to(kernel.remote / "real.db")
    for path in (tmp_path / "directory" / "app.db", tmp_path / "file.db"):
        with pytest.raises(OpenError, match="nfs4, mounted at"):
            opened(Role.MIGRATOR, path=str(path))


async def test_the_kernel_is_asked_once_for_a_database(kernel: Kernel, db_path: Path) -> None:
    pool = PoolConfig(max_writers=2, min_readers=3)
    async with open_notes(db_path, pool=pool):
        assert kernel.asked == 1
    async with open_notes(":memory:"):
        assert kernel.asked == 1


# -- the kernel's list -----------------------------------------------------------------------------


def test_the_list_is_read_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_bytes(TABLE.encode() + b"40 27 0:40 / /caf\xe9 rw - cifs x rw\n")
    monkeypatch.setattr(filesystem, "MOUNTS", str(table))
    monkeypatch.setattr(filesystem, "_CHUNK", 7)
    refuse_network("/srv/app.db")
    for path in ("/srv/data/app.db", b"/caf\xe9/app.db".decode(errors="surrogateescape")):
        with pytest.raises(OpenError, match="lies on a network file system"):
            refuse_network(path)


def test_without_the_list_nothing_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(filesystem, "MOUNTS", str(tmp_path / "nothing"))
    refuse_network("/srv/data/app.db")


@pytest.mark.skipif(not Path(filesystem.MOUNTS).exists(), reason="this system has no such list")
def test_this_machine_s_own_list_is_understood(tmp_path: Path) -> None:
    mount = mount_of(str(tmp_path.resolve()), filesystem._read(filesystem.MOUNTS))
    assert mount is not None
    assert Path(mount.point).is_mount()
