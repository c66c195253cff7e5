#!/usr/bin/env bash
# One question to one department, and a signed answer that anybody can check without asking again.
set -euo pipefail
cd "${TOWN:-runs/scores}"

address=$(python3 -c 'import json; print(json.load(open("parties/employment/ready.json"))["verify"])')
fedcredit verify --node parties/bank --provider "employment=$address" --certificate parties/employment/keys/signing.crt \
    --predicate hf_contributors_at_least --param n=5 --subject "$(sed -n 2p data/clients.csv | cut -d, -f1)" \
    --consent data/question.jwt --proof data/answer.json
fedcredit verify --check data/answer.json --certificate parties/employment/keys/signing.crt
