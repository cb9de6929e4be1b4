"""Asks a PostgreSQL that it starts what KEDA asks, with the rights that KEDA has: how many workers are there to be?"""

import glob
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
KEDA = ROOT / "deploy/kubernetes/components/keda"
FUTURE = 1 << 60


def job(name, state, sweep="null", not_before="null"):
    columns = "id, state, dataset_id, dataset_name, model, recipe, created_at, sweep_id, not_before"
    return f"insert into jobs ({columns}) values ('{name}', '{state}', 'd', 'd', 'm', '{{}}', 0, {sweep}, {not_before});"


def sweep(name, concurrency):
    return f"insert into sweeps (id, dataset_id, dataset_name, model, concurrency, created_at) values ('{name}', 'd', 'd', 'm', {concurrency}, 0);"


AUDIT = """insert into datasets (id, name, state, created_at) values ('d', 'd', 'ready', 0);
insert into dataset_audits (dataset_id, state, created_at) values ('d', 'queued', 0);"""

SHARDS = """insert into extractions (job_id, features, arithmetic, lease) values ('j7', 'f', 'a', 'l');
insert into feature_shards (job_id, shard, samples) select 'j7', n, '0-0' from generate_series(0, 41) n;
update feature_shards set state = 'running', lease_expires_at = 1 where shard = 0;
update feature_shards set state = 'running' where shard = 1;"""

# (what is done, how many workers that makes)
STEPS = [
    ("", 0),
    (job("j1", "queued") + job("j2", "queued"), 2),
    # One that is to wait, and those that are over.
    (job("j3", "queued", not_before=FUTURE) + job("j4", "succeeded") + job("j5", "failed"), 2),
    (job("j6", "queued", not_before=1), 3),
    # A worker at a job is one that is needed.
    ("update jobs set state = 'running' where id = 'j1';", 3),
    (AUDIT, 4),
    # Five trials, of which two may run at the same time.
    (sweep("s", 2) + "".join(job(f"t{n}", "queued", "'s'") for n in range(5)), 6),
    ("update jobs set state = 'running' where id = 't0';", 6),
    ("update jobs set state = 'running' where id = 't1';", 6),
    ("update jobs set state = 'succeeded' where id in ('t0', 't1');", 6),
    # More of them run than may, since somebody said so later.
    ("update sweeps set concurrency = 1; update jobs set state = 'running' where id in ('t2', 't3');", 6),
    ("delete from jobs; delete from dataset_audits;", 0),
    # Features of a job that wants help: the one at a shard already, and more for those that wait.
    (job("j7", "running") + SHARDS, 1 + 1 + 2),
    ("update feature_shards set losses = 1 where state = 'queued';", 1 + 1),
    ("delete from extractions;", 1),
]


def query():
    documents = yaml.safe_load_all((KEDA / "scaled-object.yaml").read_text())
    return next(d for d in documents if d["kind"] == "ScaledObject")["spec"]["triggers"][0]["metadata"]["query"]


def migrations():
    """Those that PostgreSQL gets, in order."""
    folder = ROOT / "migrations"
    return sorted([*(folder / "postgres").glob("*.sql"), *folder.glob("*.sql")], key=lambda file: file.name)


def main():
    programs = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
    initdb = programs[-1] if programs else shutil.which("initdb")
    if not initdb:
        sys.exit("no PostgreSQL: on Debian, apt-get install postgresql")
    bin = Path(initdb).resolve().parent
    # It doesn't run as root.
    user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory() as scratch:
        if user:
            shutil.chown(scratch, "postgres", "postgres")
        data = f"{scratch}/data"

        def run(*command, **more):
            done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, **more, **user)
            if done.returncode:
                sys.exit(f"{command[0]}: {done.stdout}{done.stderr}")
            return done.stdout.strip()

        def sql(text, role="owner"):
            return run(bin / "psql", "-qAt", "-v", "ON_ERROR_STOP=1", "-h", scratch, "-U", role, "postgres", input=text)

        run(initdb, "--no-sync", "--auth=trust", "--username=owner", data)
        options = f"-c listen_addresses= -c unix_socket_directories={scratch} -c fsync=off"
        subprocess.run([bin / "pg_ctl", "-w", "-l", f"{scratch}/log", "-D", data, "-o", options, "start"], check=True, stdout=subprocess.DEVNULL, cwd=scratch, **user)
        try:
            for migration in migrations():
                sql(migration.read_text())
            sql((KEDA / "role.sql").read_text())
            for done, expected in STEPS:
                sql(done)
                workers = sql(query(), role="topgraft_keda")
                if workers != str(expected):
                    sys.exit(f"after {done!r} KEDA would want {workers} workers, not {expected}")
        finally:
            run(bin / "pg_ctl", "-D", data, "-m", "immediate", "stop")
    print(f"KEDA's question is answered right {len(STEPS)} times")


if __name__ == "__main__":
    main()
