#!/usr/bin/env bash
# Which enterprises do all four have? Nobody learns of any other.
set -euo pipefail
cd "${TOWN:-runs/scores}"

fedcredit intersect --node parties/bank --peer registry --peer employment --peer guarantee --out data/aligned.csv
