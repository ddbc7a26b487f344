"""Declared queries against a schema, without a pool: what `check` and the test kit go by.

schema    the schema to check against, in memory: of a file, or made by migrations
plans     what a query plan says that somebody should know
review    every query with its columns, fields, plan and findings
"""

from trio_sqlrepo._review.plans import Concern as Concern
from trio_sqlrepo._review.plans import Finding as Finding
from trio_sqlrepo._review.review import Review as Review
from trio_sqlrepo._review.review import ReviewedColumn as ReviewedColumn
from trio_sqlrepo._review.review import ReviewedQuery as ReviewedQuery
from trio_sqlrepo._review.review import ReviewedStatement as ReviewedStatement
from trio_sqlrepo._review.review import review as review
from trio_sqlrepo._review.schema import open_schema as open_schema
