"""A class is graded beyond one machine: by the workers of a Dask cluster, into a gradebook in PostgreSQL."""

import contextlib
import threading
import time

import postgres
import psutil
from six_learners import EXPECTED, Class


def test_a_cluster_grades_into_postgresql_and_replaces_a_worker_that_dies(tmp_path):
    with postgres.server() as url:
        one = Class(tmp_path / "class", settings=f"c.CourseDirectory.db_url = {url!r}\n")
        process = one.start("--cluster", "local", "--workers", "2")
        killed = threading.Thread(target=kill_one_worker, args=(process.pid,))
        killed.start()
        said, _ = process.communicate(timeout=400)
        killed.join()
        assert process.returncode == 0, said
        assert one.scores(url) == EXPECTED
        assert not (one.folder / "gradebook.db").exists()
        assert "0 graded in" in one.grade("--cluster", "local")


def kill_one_worker(coordinator):
    """Kill a Dask worker as soon as one has a kernel of a submission."""
    for _ in range(600):
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(coordinator).children():
                if any("bwrap" in one.name() for one in child.children(recursive=True)):
                    child.kill()
                    return
        time.sleep(0.1)
