#!/usr/bin/env bash
# Lays libtorch down in .libtorch/ from Python wheels: `scripts/setup.sh` (CPU) or `CUDA=1 scripts/setup.sh`.
# Every file is pinned by SHA-256 in scripts/libtorch-{cpu,cuda}.txt. Does nothing when the folder is already right.
set -euo pipefail
cd "$(dirname "$0")/.."

dest=.libtorch
kind=cpu
[ "${CUDA:-0}" = 1 ] && kind=cuda
pins="scripts/libtorch-$kind.txt"
python=${PYTHON:-python3}

fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }
say() { printf 'setup: %s\n' "$*"; }

stamp="$kind $(sha256sum "$pins" scripts/setup.sh | cut -d' ' -f1 | tr '\n' ' ')"
if [ -f "$dest/.stamp" ] && [ "$(cat "$dest/.stamp")" = "$stamp" ]; then
  exit 0
fi

[ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] ||
  fail "the pinned libtorch is for Linux on x86-64, this is $(uname -s) on $(uname -m). Put libtorch 2.11.0 in $dest/ yourself and build with cargo."
command -v cargo >/dev/null || fail "cargo is missing: install Rust (https://rustup.rs), then run this again."
command -v c++ >/dev/null || fail "a C++ compiler is missing: on Debian, apt-get install g++."
command -v cc >/dev/null || fail "a C compiler is missing: on Debian, apt-get install gcc."
command -v "$python" >/dev/null || fail "$python is missing: on Debian, apt-get install python3 python3-pip (or set PYTHON)."
"$python" -m pip --version >/dev/null 2>&1 || fail "pip is missing for $python: on Debian, apt-get install python3-pip."
need=$([ "$kind" = cuda ] && echo 14 || echo 3)
free=$(df -Pk . | awk 'NR == 2 {print int($4 / 1048576)}')
[ "$free" -ge "$need" ] || fail "$need GiB of free disk are needed here, $free are left: free some, then run this again."

work=$(mktemp -d "$PWD/.libtorch.XXXXXX")
trap 'rm -rf "$work"' EXIT

say "downloading libtorch 2.11.0 ($kind) with pip: $([ "$kind" = cuda ] && echo 'about 3 GB' || echo '545 MB, of which libtorch_cpu.so is kept')"
# One fixed wheel per package whatever this machine's Python is: libtorch does not depend on it, the checksum does.
"$python" -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary=:all: \
  --implementation cp --python-version 3.11 --abi cp311 --abi abi3 --abi none \
  --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 --platform manylinux_2_25_x86_64 \
  --platform manylinux_2_18_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
  --platform manylinux_2_12_x86_64 --platform manylinux2010_x86_64 --platform manylinux_2_5_x86_64 --platform manylinux1_x86_64 \
  --dest "$work/wheels" --requirement "$pins" ||
  fail "pip could not get libtorch (see above). Check the network or pip's index settings, then run this again."

say "unpacking"
"$python" - "$work" "$kind" <<'PY'
import os, shutil, sys, zipfile
work, kind = sys.argv[1:]
lib = os.path.join(work, "out", "lib")
os.makedirs(lib)
SLIM = {"libtorch_cpu.so", "libc10.so", "libgomp.so.1", "libcudart.so.13", "libcupti.so.13"}
PYTHON_ONLY = {"libtorch_python.so", "libshm.so"}
for wheel in sorted(os.listdir(os.path.join(work, "wheels"))):
    with zipfile.ZipFile(os.path.join(work, "wheels", wheel)) as z:
        for info in z.infolist():
            name, base = info.filename, os.path.basename(info.filename)
            if name.startswith("torch/include/") and not info.is_dir():
                target = os.path.join(work, "out", name[len("torch/"):])
            elif ".so" in base and (name.startswith("torch/lib/") or name.startswith("nvidia/") and "/lib/" in name):
                if base in PYTHON_ONLY or base == "libtorch.so" or kind == "cpu" and base not in SLIM:
                    continue
                target = os.path.join(lib, base)
            else:
                continue
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with z.open(info) as source, open(target, "wb") as out:
                shutil.copyfileobj(source, out, 1 << 20)
    os.remove(os.path.join(work, "wheels", wheel))
PY

# torch-sys links -ltorch; the wheel's own libtorch.so would pull in CUDA. CUDA is loaded at run time where it is there.
echo | cc -shared -x c - -o "$work/out/lib/libtorch.so" -Wl,-soname,libtorch.so -Wl,--no-as-needed \
  -L"$work/out/lib" -ltorch_cpu -lc10 -Wl,-rpath,'$ORIGIN' -Wl,--allow-shlib-undefined ||
  fail "the linker refused to make libtorch.so: on Debian, apt-get install gcc libc6-dev."
echo "2.11.0" > "$work/out/build-version"
echo "$stamp" > "$work/out/.stamp"
rm -rf "$dest"
mv "$work/out" "$dest"
say "libtorch 2.11.0 ($kind) is in $dest/"
