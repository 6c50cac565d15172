"""How much one sandbox may use."""

from dataclasses import asdict, dataclass

MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """The most that a sandbox gets. Each number can be set as `c.SandboxProvisioner.NAME`.

    memory         MiB for the whole sandbox, its files in memory included; needs a memory cgroup of the host
    address_space  MiB of addresses for each process, enforced everywhere; a kernel with torch takes 1300
    processes      processes and threads at a time; a kernel at rest has about 10
    cpu_seconds    seconds of processor time for each process
    file_size      MiB that one file may have
    scratch        MiB of files in the working folder, and as many again in /tmp and in /dev/shm
    open_files     open files and sockets of each process
    """

    memory: int = 2048
    address_space: int = 4096
    processes: int = 128
    cpu_seconds: int = 600
    file_size: int = 64
    scratch: int = 128
    open_files: int = 256

    def of_process(self) -> dict[str, int]:
        """Return the limits that each process is given inside, by their names in the module `resource`."""
        return {
            "RLIMIT_AS": self.address_space * MIB,
            "RLIMIT_NPROC": self.processes,
            "RLIMIT_CPU": self.cpu_seconds,
            "RLIMIT_FSIZE": self.file_size * MIB,
            "RLIMIT_NOFILE": self.open_files,
            "RLIMIT_CORE": 0,
        }

    def as_dict(self) -> dict[str, int]:
        return asdict(self)
