"""Bugs of SQLite that damage databases, by version, each with sqlite.org's page on it.

Only what these pages say stands here. Distributions may have the fix in an older version.
"""

from collections.abc import Iterator
from dataclasses import dataclass

Version = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Bug:
    """A bug, and the versions that have it."""

    name: str
    first: Version
    fixed: Version
    """The first version without it."""
    also_fixed: tuple[Version, ...]
    """Older lines of versions that were mended: from this one to the end of its line."""
    needs: str
    """``wal`` or ``auto_vacuum`` if it counts only for databases that have it; else empty."""
    what: str
    page: str

    def is_in(self, version: Version) -> bool:
        """Whether a version has it."""
        mended = any(version[:2] == other[:2] and version >= other for other in self.also_fixed)
        return self.first <= version < self.fixed and not mended


BUGS = (
    Bug(
        "WAL-reset",
        (3, 7, 0),
        (3, 51, 3),
        ((3, 44, 6), (3, 50, 7)),
        "wal",
        "when two connections write or checkpoint a WAL database at the same moment, a commit may "
        "be left out of the file",
        "https://sqlite.org/wal.html#walresetbug",
    ),
    Bug(
        "UPSERT and indexes",
        (3, 35, 0),
        (3, 45, 2),
        (),
        "",
        "an UPSERT may leave an index that does not fit its table",
        "https://sqlite.org/releaselog/3_45_2.html",
    ),
    Bug(
        "secondary journal in memory",
        (3, 35, 0),
        (3, 37, 2),
        (),
        "",
        "with temporary files in memory, a savepoint that is rolled back may damage the database",
        "https://sqlite.org/howtocorrupt.html#svptbug",
    ),
    Bug(
        "DROP COLUMN",
        (3, 35, 0),
        (3, 35, 5),
        (),
        "",
        "ALTER TABLE DROP COLUMN may damage the table's content",
        "https://sqlite.org/releaselog/3_35_5.html",
    ),
    Bug(
        "COMMIT tried again",
        (3, 17, 0),
        (3, 32, 2),
        (),
        "",
        "a COMMIT that is tried again and again after SQLITE_BUSY may be told done though it is "
        "not",
        "https://sqlite.org/releaselog/3_32_2.html",
    ),
    Bug(
        "auto_vacuum",
        (3, 16, 0),
        (3, 19, 3),
        ((3, 18, 1),),
        "auto_vacuum",
        "auto_vacuum may damage the database",
        "https://sqlite.org/releaselog/3_19_3.html",
    ),
    Bug(
        "VACUUM between WAL and rollback journal",
        (3, 7, 0),
        (3, 7, 5),
        (),
        "wal",
        "a VACUUM between changes of the journal mode may go unnoticed by other processes, which "
        "then write what is old",
        "https://sqlite.org/releaselog/3_7_5.html",
    ),
    Bug(
        "expression indexes of 3.52.0",
        (3, 52, 0),
        (3, 53, 0),
        (),
        "",
        "the release was withdrawn: indexes on expressions that make floating-point numbers may "
        "not fit those of other versions",
        "https://sqlite.org/news.html",
    ),
)


def of(version: str) -> Iterator[Bug]:
    """Give the bugs of a version."""
    numbers = [int(part) for part in version.split(".")[:3]]
    three = (*numbers, 0, 0, 0)[:3]
    yield from (bug for bug in BUGS if bug.is_in((three[0], three[1], three[2])))
