"""What the database takes: bytes a picture's row, counted by filling the tables of migrations/, and commits a second on a disk.

`python3 benches/sizing/database.py [--rows 200000] [--folder DIR]`; the folder's disk is the one that is timed.
"""
import argparse
import hashlib
import pathlib
import sqlite3
import tempfile
import time
import uuid

MIGRATIONS = pathlib.Path(__file__).resolve().parents[2] / "migrations" / "sqlite"
# As long as the names of files in data sets are.
PATH = "class_{:04}/image_{:09}.jpg"


def opened(folder):
    """A database as src/store/mod.rs opens it."""
    database = sqlite3.connect(folder / "sizing.db", isolation_level=None)
    for pragma in ("journal_mode = wal", "synchronous = full", "foreign_keys = on"):
        database.execute(f"pragma {pragma}")
    for migration in sorted(MIGRATIONS.glob("*.sql")):
        database.executescript(migration.read_text())
    return database


def size(database):
    return database.execute("select page_count * page_size from pragma_page_count, pragma_page_size").fetchone()[0]


def fill(database, rows):
    """Enters a data set in one transaction, as an ingestion does; bytes a row, and seconds."""
    dataset, before, began = str(uuid.uuid4()), size(database), time.monotonic()
    database.execute("begin immediate")
    database.execute("insert into datasets (id, name, state, created_at) values (?, ?, 'ready', 0)", (dataset, dataset))
    pictures = ((dataset, n, PATH.format(n // 500, n), n // 500, hashlib.sha256(b"%d" % n).hexdigest(), "jpeg", 500, 375, 44_000 * n, 44_000)
                for n in range(rows))
    database.executemany(
        "insert into dataset_images (dataset_id, image, path, class, sha256, format, width, height, pack_offset, bytes)"
        " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", pictures)
    database.execute("commit")
    return (size(database) - before) / rows, time.monotonic() - began


def commits(database, seconds):
    """Heartbeats a second: one row's update and a commit, each on the disk before the next."""
    database.execute("insert into jobs (id, state, dataset_id, dataset_name, model, recipe, created_at)"
                     " values ('job', 'running', 'd', 'd', 'm', '{}', 0)")
    count, began = 0, time.monotonic()
    while time.monotonic() - began < seconds:
        database.execute("begin immediate")
        database.execute("update jobs set lease_expires_at = ? where id = 'job' and state = 'running'", (count,))
        database.execute("commit")
        count += 1
    return count / (time.monotonic() - began)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--folder", default=".")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder, prefix=".bench-sizing-") as folder:
        database = opened(pathlib.Path(folder))
        row, seconds = fill(database, args.rows)
        print(f"{args.rows:,} pictures: {row:.0f} bytes a picture, entered in {seconds:.1f} s (one transaction)")
        rate = commits(database, args.seconds)
        print(f"commits: {rate:,.0f} a second, {1000 / rate:.2f} ms each")
        database.close()


if __name__ == "__main__":
    main()
