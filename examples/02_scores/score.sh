#!/usr/bin/env bash
# The sum of all parties' points: the bank alone can read it, and nobody sees another's part.
set -euo pipefail
cd "${TOWN:-runs/scores}"

sed -n 2p data/clients.csv | cut -d, -f2 > data/score.jwt
fedcredit score --node parties/bank --model sme-default --consent data/score.jwt \
    --subject "$(sed -n 2p data/clients.csv | cut -d, -f1)"
fedcredit score --node parties/bank --model sme-default --file data/clients.csv --out data/scores.csv
cat data/scores.csv
