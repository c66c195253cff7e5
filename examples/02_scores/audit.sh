#!/usr/bin/env bash
# Every log is whole and signed; what it says of a score is a hash, no code and no points.
set -euo pipefail
cd "${TOWN:-runs/scores}"

for log in platform bank registry employment guarantee employment/verify; do
    fedcredit audit verify "parties/$log"
done
fedcredit audit show parties/registry --event score_answered
