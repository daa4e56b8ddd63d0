"""A real container, made by runc as Docker would make one that is given nothing: no capability, no new privileges, a network,
process and mount namespace of its own, /proc with its usual masks, and system calls for namespaces and mounts refused."""
import json
import os
import shutil
import subprocess

# What Docker's own profile refuses to processes without CAP_SYS_ADMIN, as far as a sandbox could want it.
REFUSED = ["unshare", "setns", "mount", "umount2", "pivot_root", "open_tree", "move_mount", "fsopen", "fsmount", "fsconfig", "fspick",
           "mount_setattr", "ptrace", "bpf", "keyctl", "add_key", "request_key", "perf_event_open", "userfaultfd", "quotactl", "reboot",
           "kexec_load", "init_module", "finit_module", "delete_module", "swapon", "swapoff", "sethostname", "acct"]
NEW_NAMESPACE_FLAGS = 0x7E020000
SYSTEM_FOLDERS = ["/usr", "/lib", "/lib64", "/bin", "/sbin", "/etc"]
NOBODY = 65534


def seccomp():
    no, unknown = 1, 38  # EPERM; ENOSYS, which makes libc fall back from clone3 to clone
    return {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [{"names": REFUSED, "action": "SCMP_ACT_ERRNO", "errnoRet": no},
                         {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": unknown},
                         *[{"names": ["clone"], "action": "SCMP_ACT_ERRNO", "errnoRet": no,
                            "args": [{"index": 0, "value": 1 << bit, "valueTwo": 1 << bit, "op": "SCMP_CMP_MASKED_EQ"}]}
                           for bit in range(32) if NEW_NAMESPACE_FLAGS >> bit & 1]]}


def config(command, readable):
    def bind(path):
        return {"destination": str(path), "type": "bind", "source": str(path), "options": ["rbind", "ro"]}

    return {
        "ociVersion": "1.0.0", "hostname": "container", "root": {"path": "rootfs", "readonly": True},
        "process": {"args": [str(part) for part in command], "cwd": "/", "env": ["PATH=/usr/bin:/bin", "HOME=/tmp"],
                    "user": {"uid": NOBODY, "gid": NOBODY}, "noNewPrivileges": True,
                    "capabilities": {kind: [] for kind in ("bounding", "effective", "inheritable", "permitted", "ambient")}},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
                   {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755"]},
                   {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "noexec", "nodev", "mode=1777"]},
                   {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "mode=1777"]},
                   *[bind(path) for path in [*SYSTEM_FOLDERS, *readable] if os.path.exists(path)]],
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")], "seccomp": seccomp(),
                  "maskedPaths": ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug"],
                  "readonlyPaths": ["/proc/asound", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]}}


def why_not():
    """Why no container can be made here, or nothing."""
    if not shutil.which("runc"):
        return "runc is not installed (./script/bootstrap --tests)"
    if os.geteuid() != 0:
        return "only root can make a container here"
    return ""


def run(folder, command, readable=(), timeout=300):
    """Runs the command in a new container and gives what subprocess.run() gives.

    folder    an empty one, for the container's files
    readable  folders that it can see, read-only, under their own names, beside those of the system
    """
    root = folder / "rootfs"
    for path in ["/proc", "/dev", "/tmp", *SYSTEM_FOLDERS, *readable]:
        (root / str(path).lstrip("/")).mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config(command, readable)))
    name = f"knap-test-{os.getpid()}"
    return subprocess.run(["runc", f"--root={folder / 'state'}", "run", f"--bundle={folder}", name],
                          capture_output=True, text=True, timeout=timeout)
