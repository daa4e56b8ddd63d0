"""The memory cache beside moka (Rust) and a plain LRU: hit ratio and speed on three traces, one run.

Builds bench/moka with cargo, then runs memory_cache_bench, which runs both in turns.

usage: bench/memory_cache.py [--keys 100000] [--requests 5000000] [--bench build/bench/src/cache/memory_cache_bench]
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--requests", type=int, default=5_000_000)
    parser.add_argument("--bench", type=Path, default=ROOT / "build/bench/src/cache/memory_cache_bench")
    options = parser.parse_args()
    crate = ROOT / "build/moka"  # a copy: cargo writes beside the sources
    shutil.copytree(ROOT / "bench/moka", crate, dirs_exist_ok=True)
    subprocess.run(["cargo", "build", "--quiet", "--release"], cwd=crate, check=True)
    environment = dict(os.environ, KNAP_MOKA_BENCH=str(crate / "target/release/moka-bench"))
    command = [options.bench, str(options.keys), str(options.requests)]
    return subprocess.run(command, env=environment, preexec_fn=lambda: os.sched_setaffinity(0, {0})).returncode


if __name__ == "__main__":
    sys.exit(main())
