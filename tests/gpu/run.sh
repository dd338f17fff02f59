#!/usr/bin/env bash
# run.sh [MINUTES] [--emulated]: everything that a card is needed for, in one go.
#
# Installs offline what is missing, and then, each in its share of the time: kernels against NumPy (products by every tile, attention), the
# CUDA tests, the benchmarks beside torch, the fastest tiles of products (tuned.py, to be committed), and random graphs for the rest.
# Results are written as they come, to $OUT or ./gpu-results. It ends by itself; 0 where all that was checked is right.
#
#   --emulated   the same where there is no card, on the emulation: to see that the script works
#   $PYTHON      the interpreter (python3); $WHEELS: a folder of wheels for what it lacks (pycuda)
set -u
minutes=10 emulated=""
for a in "$@"; do case $a in --emulated) emulated=yes ;; *) minutes=$a ;; esac; done
root=$(cd "$(dirname "$0")/../.." && pwd)
out=${OUT:-$PWD/gpu-results}
python=${PYTHON:-python3}
mkdir -p "$out"
began=$(date +%s)
left() { echo $((minutes * 60 - ($(date +%s) - began))); }
say() { echo "[$(($(date +%s) - began)) s] $*" | tee -a "$out/log.txt"; }

cd "$root"
if ! "$python" -c 'import ingot, ingot.runtime' 2>/dev/null; then
  site=$out/site
  say "installing into $site"
  "$python" -m pip install -q --no-index --no-deps --no-build-isolation --target "$site" . ${WHEELS:+"$WHEELS"/*.whl} >> "$out/log.txt" 2>&1 ||
    { say "the installation failed: see log.txt"; exit 1; }
  export PYTHONPATH=$site:$root
elif [ -z "$emulated" ] && ! "$python" -c 'import pycuda.driver' 2>/dev/null && [ -n "${WHEELS:-}" ]; then
  "$python" -m pip install -q --no-index --no-deps --target "$out/site" "$WHEELS"/*.whl >> "$out/log.txt" 2>&1
  export PYTHONPATH=$out/site:${PYTHONPATH:-}
fi
export PYTHONPATH=${PYTHONPATH:-}:$root INGOT_CACHE_DIR=${INGOT_CACHE_DIR:-$out/cache}
if [ -n "$emulated" ]; then export INGOT_CUDA=emulated:2; else export INGOT_TEST_CUDA=real; fi

"$python" -m ingot.runtime.cli doctor > "$out/doctor.txt" 2>&1
grep GPU "$out/doctor.txt" | tee -a "$out/log.txt"
"$python" -c 'import ingot, sys; sys.exit(not ingot.cuda.is_available())' || { say "there is no GPU to run on"; exit 2; }
nvidia-smi > "$out/nvidia-smi.txt" 2>&1

share() { echo $((minutes * 60 * $1 / 100)); }  # so many percent of the time, in seconds
status=0

over() { [ "$1" = 0 ] || [ "$1" = 124 ] || status=1; [ "$1" != 124 ] || say "time was over"; }  # 124: what timeout says
lines() { grep -c '' "$1" 2>/dev/null || true; }

say "kernels for $(share 15) s"
timeout "$(($(share 15) + 30))" "$python" -m tests.gpu.kernels "$(share 15)" --out "$out/kernels.jsonl" >> "$out/log.txt" 2>&1
over $?
say "kernels: $(lines "$out/kernels.jsonl") compared"

say "tests"
timeout "$(($(share 25) + 30))" "$python" -m pytest -q -p no:cacheprovider tests/cuda/test_device*.py > "$out/tests.txt" 2>&1
over $?
say "tests: $(tail -n 1 "$out/tests.txt")"

say "benchmarks for $(share 30) s"
timeout "$(($(share 30) + 30))" "$python" -m benchmarks gpu --seconds "$(share 30)" --out "$out" > "$out/benchmarks.txt" 2>&1
over $?
say "benchmarks: $(lines "$out/gpu.jsonl") measured"

say "tiles of products for $(share 12) s"
timeout "$(($(share 12) + 30))" "$python" -m benchmarks gpu --tune --seconds "$(share 12)" --out "$out" > "$out/tune.txt" 2>&1
over $?
say "tiles: $(grep -c TFLOP "$out/tune.txt") products measured"

seconds=$(($(left) - 15))
if [ $seconds -gt 5 ]; then
  say "random graphs for $seconds s"
  timeout "$((seconds + 60))" "$python" -m tests.gpu.fuzz "$seconds" --out "$out/fuzz.jsonl" >> "$out/log.txt" 2>&1
  over $?
  say "random graphs: $(tail -n 1 "$out/log.txt")"
fi

say "done, $( [ $status = 0 ] && echo 'all is right' || echo "something is wrong: see kernels.jsonl, tests.txt and fuzz.jsonl")"
exit $status
