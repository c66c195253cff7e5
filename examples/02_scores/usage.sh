#!/usr/bin/env bash
# Who used which data for what: counts for the platform, and every single use for the enterprise that asks.
set -euo pipefail
cd "${TOWN:-runs/scores}"

for party in registry employment guarantee; do
    fedcredit usage report --node "parties/$party" --send
done
fedcredit usage report --node parties/platform
fedcredit usage report --node parties/employment --subject "$(sed -n 2p data/clients.csv | cut -d, -f1)"
