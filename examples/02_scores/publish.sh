#!/usr/bin/env bash
# The bank offers the card, each party's people approve their own part, and the platform lets the version count.
set -euo pipefail
cd "${TOWN:-runs/scores}"

fedcredit model publish "$(cat data/job)" --model scorecard.0 --as sme-default --node parties/bank
for party in bank registry employment guarantee; do
    fedcredit model approve sme-default 1 --node "parties/$party"
done
fedcredit model activate sme-default 1 --node parties/platform
