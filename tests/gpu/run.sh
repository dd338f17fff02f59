#!/usr/bin/env bash
# run.sh [MINUTES] [--emulated]: everything that a card is needed for, in one go.
#
# Installs offline what is missing, runs the CUDA tests on the card, then random graphs for the rest of the time less a third, then the
# benchmarks beside torch. Results are written as they come, to $OUT or ./gpu-results. It ends by itself; 0 where all tests passed.
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

say "tests"
timeout "$(($(left) / 2 + 60))" "$python" -m pytest -q -p no:cacheprovider tests/cuda/test_device*.py > "$out/tests.txt" 2>&1
status=$?
say "tests: $(tail -n 1 "$out/tests.txt")"

seconds=$(($(left) * 2 / 3))
if [ $seconds -gt 5 ]; then
  say "random graphs for $seconds s"
  "$python" -m tests.gpu.fuzz "$seconds" --out "$out/fuzz.jsonl" >> "$out/log.txt" 2>&1 || status=1
  say "random graphs: $(tail -n 1 "$out/log.txt")"
fi

seconds=$(left)
[ $seconds -gt 20 ] || seconds=20
say "benchmarks for $seconds s"
timeout "$((seconds + 30))" "$python" -m benchmarks gpu --seconds "$seconds" --out "$out" > "$out/benchmarks.txt" 2>&1
say "benchmarks: $(grep -c '' "$out/gpu.jsonl" 2>/dev/null || echo 0) measured"
say "done, $( [ $status = 0 ] && echo 'all tests passed' || echo "tests failed: see tests.txt and fuzz.jsonl")"
exit $status
