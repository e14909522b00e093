"""The bundle's self-test on emulated ARM processors, as near to a Raspberry Pi as one gets without.

QEMU 10, a Debian Python with NumPy and Pillow, and the runtime's wheel are fetched from the package
sources that this machine is configured for and unpacked into a temporary folder; nothing is
installed. Where that cannot be done, the test is skipped and says why.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import edge_bundle
import pytest

from wrn_edge import bundle

QEMU_RELEASE = "trixie"  # QEMU 7.2 of the release before crashes LiteRT since 2.2
PI_RELEASE = "bookworm"  # Python 3.11: the last one for which there is a 32-bit runtime
MACHINES = {
    # Debian's architecture: QEMU's name, libraries, runtime, platforms of its wheels, its kernels
    "arm64": (
        "aarch64", "aarch64-linux-gnu", "ai-edge-litert",
        ("manylinux_2_27_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64"), "xnnpack",
    ),
    "armhf": (
        "arm", "arm-linux-gnueabihf", "tflite-runtime==2.14.0",
        ("manylinux_2_34_armv7l", "manylinux2014_armv7l", "linux_armv7l"), "builtin-32bit",
    ),
}  # fmt: skip


def fetch(*command: object, **environment: str) -> str:
    """Run a step of the preparation; the test is skipped where it fails."""
    try:
        return subprocess.run(
            [str(each) for each in command], capture_output=True, text=True, timeout=150,
            check=True, env={**os.environ, **environment},
        ).stdout  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        words = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        pytest.skip(f"cannot be prepared here: {Path(str(command[0])).name}: {words[-1]}")


class Packages:
    """Debian packages of other architectures and releases, through this machine's own source."""

    def __init__(self, folder: Path):
        if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
            pytest.skip("no Debian here to take packages from")
        targets = fetch("apt-get", "indextargets", "--format", "$(ORIGIN) $(REPO_URI)")
        sources = [line.split()[1] for line in targets.splitlines() if line.startswith("Debian ")]
        keys = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
        if not sources or not keys.exists():
            pytest.skip("this machine's package sources are not Debian's")
        for name in ("lists/partial", "archives/partial"):
            (folder / name).mkdir(parents=True)
        (folder / "status").touch()
        (folder / "sources.list").write_text(
            f"deb [arch=amd64 signed-by={keys}] {sources[0]} {QEMU_RELEASE} main\n"
            f"deb [arch=arm64,armhf signed-by={keys}] {sources[0]} {PI_RELEASE} main\n"
        )
        (folder / "apt.conf").write_text(
            f'Dir::State "{folder}"; Dir::State::lists "{folder}/lists";\n'
            f'Dir::State::status "{folder}/status"; Dir::Cache "{folder}";\n'
            f'Dir::Cache::archives "{folder}/archives";\n'
            f'Dir::Etc::sourcelist "{folder}/sources.list"; Dir::Etc::sourceparts "-";\n'
            'APT::Architecture "amd64"; APT::Architectures { "amd64"; "arm64"; "armhf"; };\n'
            'APT::Sandbox::User "root"; Acquire::Languages "none";\n'
        )
        self.folder = folder
        self._apt("update")

    def unpack(self, architecture: str, *names: str, into: Path) -> Path:
        """Unpack packages and all they need into a folder."""
        archives = self.folder / f"archives-{architecture}"
        (archives / "partial").mkdir(parents=True)
        self._apt(
            "-o", f"APT::Architecture={architecture}",
            "-o", f"APT::Architectures::={architecture}", "-o", f"Dir::Cache::archives={archives}",
            "--yes", "--no-install-recommends", "--download-only", "install",
            *(f"{name}:{architecture}" for name in names),
        )  # fmt: skip
        for package in sorted(archives.glob("*.deb")):
            fetch("dpkg-deb", "--extract", package, into)
        return into

    def _apt(self, *arguments: str) -> None:
        fetch("apt-get", "-qq", *arguments, APT_CONFIG=str(self.folder / "apt.conf"))


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A bundle of a real int8 network."""
    run = edge_bundle.exported_run(tmp_path_factory.mktemp("runs"))
    return bundle.bundle(run, tmp_path_factory.mktemp("made") / "bundle")


@pytest.fixture(scope="module")
def packages(tmp_path_factory) -> Packages:
    return Packages(tmp_path_factory.mktemp("apt"))


@pytest.fixture(scope="module")
def emulators(packages, tmp_path_factory) -> Path:
    """Folder of QEMU's user emulators, which are linked statically."""
    return packages.unpack("amd64", "qemu-user", into=tmp_path_factory.mktemp("qemu")) / "usr/bin"


@pytest.mark.slow
@pytest.mark.parametrize("architecture", MACHINES)
def test_the_self_test_passes_on(architecture, packages, emulators, made, tmp_path):
    name, libraries, requirement, platforms, kernels = MACHINES[architecture]
    root = packages.unpack(architecture, "python3-numpy", "python3-pil", into=tmp_path / "root")
    runtime = tmp_path / "runtime"
    fetch(
        sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", runtime,
        "--python-version", "3.11", "--only-binary", ":all:",
        *(part for platform in platforms for part in ("--platform", platform)), requirement,
    )  # fmt: skip
    parts = (f"{root}/usr/lib/{libraries}/{part}" for part in ("blas", "lapack"))
    done = subprocess.run(
        [
            emulators / f"qemu-{name}", "-L", root, "-E", f"LD_LIBRARY_PATH={':'.join(parts)}",
            root / "usr/bin/python3.11", "-B", made / "selftest.py", "--threads", "1",
        ],
        env={"PYTHONPATH": f"{runtime}:{root}/usr/lib/python3/dist-packages"},
        capture_output=True, text=True, timeout=150, check=False,
    )  # fmt: skip
    print(done.stdout)
    assert done.stderr == ""
    assert done.returncode == 0
    assert f"{kernels} kernels: probabilities equal" in done.stdout
    # Nobody can record 32-bit kernels where bundles are made.
    against = "the same kernels" if kernels == "xnnpack" else "other kernels (xnnpack, builtin)"
    assert f"to those of {against}" in done.stdout
