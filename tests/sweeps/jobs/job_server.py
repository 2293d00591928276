"""A job server of a Ray cluster, in memory."""

from pathlib import Path
from types import SimpleNamespace

from ray.job_submission import JobStatus

URL = "http://127.0.0.1:8265"


class Cluster:
    """A job server in memory. `log` comes in the given chunks; a chunk None is where the stream breaks off, once."""

    def __init__(self, log=("one\n", "two\n"), ends=JobStatus.SUCCEEDED, stops=True):
        self.jobs, self.staged, self.log, self.ends, self.stops = [], [], list(log), ends, stops
        self.stopped, self.beaten_by, self.lost, self.starting = [], None, 0, 0

    def add(self, submission_id, status, message=None):
        self.jobs.append(SimpleNamespace(submission_id=submission_id, status=status, message=message))

    def list_jobs(self):
        if self.lost:
            self.lost -= 1
            raise ConnectionError("gone")
        return [SimpleNamespace(submission_id=None, status=JobStatus.RUNNING, message=None), *self.jobs]

    def submit_job(self, entrypoint, submission_id, runtime_env):
        if self.starting:
            self.starting -= 1
            raise RuntimeError(
                "Request failed with status code 500: No available agent to submit job, please try again"
            )
        if self.beaten_by:
            self.add(submission_id, self.beaten_by)
        if any(job.submission_id == submission_id for job in self.jobs):
            raise RuntimeError("Request failed with status code 500: already exists")
        folder = Path(runtime_env["working_dir"])
        files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        self.staged.append((entrypoint, files, set(runtime_env)))
        self.add(submission_id, JobStatus.PENDING)

    def stop_job(self, submission_id):
        self.stopped.append(submission_id)
        if self.stops:
            self._job(submission_id).status = JobStatus.STOPPED
        return self.stops is not None

    def get_job_logs(self, submission_id):
        return "".join(chunk for chunk in self.log if chunk)

    async def tail_job_logs(self, submission_id):
        for i, chunk in enumerate(self.log):
            if chunk is None:
                del self.log[i]
                raise RuntimeError("WebSocket connection closed unexpectedly")
            yield chunk
        job = self._job(submission_id)
        if not job.status.is_terminal():
            job.status, job.message = self.ends, f"Job {self.ends}\nlast lines"

    def _job(self, submission_id):
        return next(job for job in self.jobs if job.submission_id == submission_id)
