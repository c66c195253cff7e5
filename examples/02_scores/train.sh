#!/usr/bin/env bash
# A scorecard over all parties' columns. Each keeps the points of its own; the bank has the figures.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "${TOWN:-runs/scores}"

job=$(fedcredit job run "$here/job.toml" --node parties/bank --detach)
fedcredit job watch "$job" --node parties/bank --out data/result
echo "$job" > data/job
