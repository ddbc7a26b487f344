"""Floor 1: what runs SQL. The only importer of apsw; knows no trio and no repository."""

from apsw import Connection as Connection

from trio_sqlrepo._sqlite.driver import SqliteDriver as SqliteDriver
from trio_sqlrepo._sqlite.identity import FileIdentity as FileIdentity
from trio_sqlrepo._sqlite.opening import open_driver as open_driver
