#!/usr/bin/env bash
# Every log is whole and signed; what it says of a score is a hash, no code and no points.
set -euo pipefail
cd "${TOWN:-runs/scores}"

for party in platform bank registry employment guarantee; do
    fedcredit audit verify "parties/$party"
done
fedcredit audit show parties/registry --event score_answered
