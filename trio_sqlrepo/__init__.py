# The house, from the top floor down. One frozen job goes down, one outcome comes up, nothing calls
# upward; each floor imports only from floors below it (import-linter keeps it so).
#
#   cli/            7  trio-sqlrepo check, explain, stats, migrate, backup, demo
#   testing/        7  the test kit that applications import
#   _opening.py     6  open_database: the nursery that owns everything
#   _database.py    6  Database
#   _review/        6  declared queries against a schema, without a pool
#   _repository.py  5  Repository; on it stand CrudRepository and declared()
#   _data/          4  sessions, bodies, migrations, the check of every declared query
#   _pool/          3  who runs what when: lanes, leases, the supervisor. Trio tasks, no SQL
#   _worker/        2  one connection on one pinned thread; group commit
#   _sqlite/        1  what runs SQL; the only importer of apsw; knows no trio
#   _query/         1  what a query is; pure; never meets _sqlite
#   _base/          0  errors, settings, jobs, the driver protocol
"""A trio-native, structured-concurrency repository framework for SQLite."""

from trio_sqlrepo._base.backup import BackupProgress as BackupProgress
from trio_sqlrepo._base.config import PoolConfig as PoolConfig
from trio_sqlrepo._base.config import SqlFunction as SqlFunction
from trio_sqlrepo._base.config import SQLiteConfig as SQLiteConfig
from trio_sqlrepo._base.errors import BackupError as BackupError
from trio_sqlrepo._base.errors import CheckViolation as CheckViolation
from trio_sqlrepo._base.errors import DatabaseCorrupt as DatabaseCorrupt
from trio_sqlrepo._base.errors import DatabaseError as DatabaseError
from trio_sqlrepo._base.errors import DatabaseLocked as DatabaseLocked
from trio_sqlrepo._base.errors import DatabaseReadOnly as DatabaseReadOnly
from trio_sqlrepo._base.errors import DatabaseReplaced as DatabaseReplaced
from trio_sqlrepo._base.errors import DatatypeViolation as DatatypeViolation
from trio_sqlrepo._base.errors import DeclarationError as DeclarationError
from trio_sqlrepo._base.errors import DiskFull as DiskFull
from trio_sqlrepo._base.errors import ForeignAwait as ForeignAwait
from trio_sqlrepo._base.errors import ForeignKeyViolation as ForeignKeyViolation
from trio_sqlrepo._base.errors import ForkedProcess as ForkedProcess
from trio_sqlrepo._base.errors import IntegrityError as IntegrityError
from trio_sqlrepo._base.errors import InternalError as InternalError
from trio_sqlrepo._base.errors import MappingError as MappingError
from trio_sqlrepo._base.errors import MigrationError as MigrationError
from trio_sqlrepo._base.errors import MultipleResults as MultipleResults
from trio_sqlrepo._base.errors import NoResult as NoResult
from trio_sqlrepo._base.errors import NotNullViolation as NotNullViolation
from trio_sqlrepo._base.errors import NotRegistered as NotRegistered
from trio_sqlrepo._base.errors import OpenError as OpenError
from trio_sqlrepo._base.errors import OutcomeUnknown as OutcomeUnknown
from trio_sqlrepo._base.errors import PoolClosed as PoolClosed
from trio_sqlrepo._base.errors import PoolError as PoolError
from trio_sqlrepo._base.errors import PoolOverloaded as PoolOverloaded
from trio_sqlrepo._base.errors import PoolTimeout as PoolTimeout
from trio_sqlrepo._base.errors import ReadOnlySession as ReadOnlySession
from trio_sqlrepo._base.errors import ReentrantUse as ReentrantUse
from trio_sqlrepo._base.errors import SearchSyntaxError as SearchSyntaxError
from trio_sqlrepo._base.errors import SessionEnded as SessionEnded
from trio_sqlrepo._base.errors import SessionError as SessionError
from trio_sqlrepo._base.errors import SqlError as SqlError
from trio_sqlrepo._base.errors import SqlRepoError as SqlRepoError
from trio_sqlrepo._base.errors import TransactionAborted as TransactionAborted
from trio_sqlrepo._base.errors import TriggerViolation as TriggerViolation
from trio_sqlrepo._base.errors import UniqueViolation as UniqueViolation
from trio_sqlrepo._base.footprint import Changes as Changes
from trio_sqlrepo._base.health import ConnectionHealth as ConnectionHealth
from trio_sqlrepo._base.health import Health as Health
from trio_sqlrepo._base.job import SqlValue as SqlValue
from trio_sqlrepo._base.stats import LaneStats as LaneStats
from trio_sqlrepo._base.stats import StatementStats as StatementStats
from trio_sqlrepo._base.stats import Stats as Stats
from trio_sqlrepo._base.warnings import DegradedSize as DegradedSize
from trio_sqlrepo._base.warnings import FewIdleReaders as FewIdleReaders
from trio_sqlrepo._base.warnings import HighErrorRate as HighErrorRate
from trio_sqlrepo._base.warnings import LongStream as LongStream
from trio_sqlrepo._base.warnings import PoolWarning as PoolWarning
from trio_sqlrepo._base.warnings import ReplacedConnections as ReplacedConnections
from trio_sqlrepo._base.warnings import SlowOperation as SlowOperation
from trio_sqlrepo._base.warnings import WalOverLimit as WalOverLimit
from trio_sqlrepo._crud import CrudRepository as CrudRepository
from trio_sqlrepo._data.feed import feed as feed
from trio_sqlrepo._data.live import ChangeFeed as ChangeFeed
from trio_sqlrepo._data.live import Live as Live
from trio_sqlrepo._data.migration import Migration as Migration
from trio_sqlrepo._data.migration import MigrationSet as MigrationSet
from trio_sqlrepo._data.session import Session as Session
from trio_sqlrepo._data.transaction import Snapshot as Snapshot
from trio_sqlrepo._data.transaction import Transaction as Transaction
from trio_sqlrepo._database import Database as Database
from trio_sqlrepo._declared import DeclaredColumn as DeclaredColumn
from trio_sqlrepo._declared import DeclaredQuery as DeclaredQuery
from trio_sqlrepo._declared import DeclaredStatement as DeclaredStatement
from trio_sqlrepo._declared import declared as declared
from trio_sqlrepo._opening import open_database as open_database
from trio_sqlrepo._query.declare import snapshot as snapshot
from trio_sqlrepo._query.declare import transaction as transaction
from trio_sqlrepo._query.markers import Blob as Blob
from trio_sqlrepo._query.markers import Json as Json
from trio_sqlrepo._query.markers import Naive as Naive
from trio_sqlrepo._query.markers import RowCount as RowCount
from trio_sqlrepo._query.querying import query as query
from trio_sqlrepo._query.streams import Rows as Rows
from trio_sqlrepo._query.streams import RowStream as RowStream
from trio_sqlrepo._query.unset import UNSET as UNSET
from trio_sqlrepo._query.unset import Unset as Unset
from trio_sqlrepo._repository import Repository as Repository

# What users see in tracebacks and help is the public name.
for _public in list(globals().values()):
    if isinstance(_public, type) and _public.__module__.startswith("trio_sqlrepo._"):
        _public.__module__ = "trio_sqlrepo"
del _public
